"""The schemas of Kubernetes itself, strict, and of the custom resources that components use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from jsonschema.protocols import Validator
from kubernetes_validate import SchemaNotFoundError
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource

from deploy.k8s.checks.rendering import Document, Problem, Rendering, reference

# The manifests are for servers of these versions; the package has those from 1.25 to 1.37.
VERSIONS = ("1.36.0", "1.37.0")
_CUSTOM = Path(__file__).parent / "custom"


def schema(rendering: Rendering) -> Iterator[Problem]:
    """Every object has the fields that its kind has, of the right types, and no other; its kind is a known one."""
    for document in rendering.documents:
        for text in _wrong(json.dumps(document, sort_keys=True)):
            yield Problem(reference(document), text)


@cache  # the renderings of all combinations have most objects in common
def _wrong(text: str) -> tuple[str, ...]:
    document = json.loads(text)
    kind, api_version = document.get("kind"), document.get("apiVersion")
    if not isinstance(kind, str) or not isinstance(api_version, str):
        return ("has no apiVersion or kind: every document needs both",)
    custom = _custom_schemas().get((api_version, kind))
    if custom is not None:
        return tuple(_errors(custom, document, "its own schema"))
    found: list[str] = []
    for version in VERSIONS:
        validator = _validator(kind, api_version, version)
        if validator is None:
            found.append(
                f"{api_version} {kind} is unknown to Kubernetes {version}: correct it, or add a schema to custom/"
            )
        else:
            found += _errors(validator, document, f"Kubernetes {version}")
    return tuple(found)


def _errors(validator: Validator, document: Document, whose: str) -> Iterator[str]:
    for error in sorted(validator.iter_errors(document), key=lambda each: list(map(str, each.absolute_path))):
        yield f"{'.'.join(map(str, error.absolute_path)) or 'the document'}: {error.message} ({whose})"


@cache
def _validator(kind: str, api_version: str, version: str) -> Validator | None:
    """For one kind, or None when that version of Kubernetes does not have it."""
    group, _, group_version = api_version.rpartition("/")
    file = "-".join(filter(None, (kind.lower(), group.partition(".")[0], group_version)))
    folder = f"kubernetes-json-schema/v{version}-local-strict"
    try:
        contents = schema_contents(f"{folder}/{file}.json", version)
    except (FileNotFoundError, SchemaNotFoundError):
        return None
    # The file's name has only the group's first word: networking.example.com would pass for networking.k8s.io.
    known = {
        (each["group"], each["version"], each["kind"]) for each in contents.get("x-kubernetes-group-version-kind", [])
    }
    if (group, group_version, kind) not in known:
        return None
    registry: Registry[Any] = _definitions(folder, version)
    return jsonschema.Draft202012Validator(contents, registry=registry)


@cache
def _definitions(folder: str, version: str) -> Registry[Any]:
    return Resource.from_contents(schema_contents(f"{folder}/_definitions.json", version)) @ Registry()


@cache
def _custom_schemas() -> dict[tuple[str, str], Validator]:
    """(apiVersion, kind) -> the schema that stands in custom/."""
    found: dict[tuple[str, str], Validator] = {}
    for file in sorted(_CUSTOM.glob("*.yaml")):
        contents = yaml.safe_load(file.read_text())
        jsonschema.Draft202012Validator.check_schema(contents)
        key = (contents["properties"]["apiVersion"]["const"], contents["properties"]["kind"]["const"])
        found[key] = jsonschema.Draft202012Validator(contents)
    return found


def custom_kinds() -> frozenset[tuple[str, str]]:
    """(apiVersion, kind) of every custom resource that the manifests may use."""
    return frozenset(_custom_schemas())
