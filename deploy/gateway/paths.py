"""The RPCs of the mesh and their JSON paths, read from the contracts' google.api.http annotations."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

_VARIABLE = re.compile(r"\{([^}=]*)(?:=([^}]*))?\}")


@dataclass(frozen=True)
class JsonPath:
    """A path that the transcoder understands.

    pattern: regular expression of the whole path. methods: the HTTP methods it takes. service: full gRPC name.
    """

    pattern: str
    methods: tuple[str, ...]
    service: str


def json_paths(descriptors: Path, services: Collection[str]) -> list[JsonPath]:
    """Every JSON path of these services (full names)."""
    found: dict[tuple[str, str], set[str]] = {}
    for file in FileDescriptorSet.FromString(descriptors.read_bytes()).file:
        for service in file.service:
            name = f"{file.package}.{service.name}"
            if name not in services:
                continue
            for method in service.method:
                rule = method.options.Extensions[annotations_pb2.http]
                for each in (rule, *rule.additional_bindings):
                    kind = each.WhichOneof("pattern")
                    if kind in ("get", "put", "post", "delete", "patch"):
                        found.setdefault((_pattern(getattr(each, kind)), name), set()).add(kind.upper())
    return [JsonPath(pattern, tuple(sorted(methods)), name) for (pattern, name), methods in sorted(found.items())]


def methods_pattern(descriptors: Path, services: Collection[str], others: Collection[str]) -> str:
    """A regular expression of all paths, whose group 1 is the RPC that a path stands for, or nothing.

    services: full names of those whose RPCs count. others: RPCs that no contract here has, "package.Service/Method".
    """
    found = [
        f"{file.package}.{service.name}/(?:{'|'.join(sorted(method.name for method in service.method))})"
        for file in FileDescriptorSet.FromString(descriptors.read_bytes()).file
        for service in file.service
        if f"{file.package}.{service.name}" in services
    ]
    names = "|".join(each.replace(".", "[.]") for each in (*sorted(found), *others))
    return f"^/({names})$|^.*$"


def _pattern(template: str) -> str:
    """A path with variables, such as /v1/graphs/{graph}:run or /v1/traffic/{target=**}, as a regular expression."""
    # The pieces between variables, each followed by a variable's name and shape. What follows a colon is a verb.
    pieces = _VARIABLE.split(template)
    variables = [".+" if shape == "**" else "[^/:]+" for shape in pieces[2::3]]
    return "".join(re.escape(piece) + variable for piece, variable in zip(pieces[::3], [*variables, ""], strict=True))
