"""Files that programs are told to read are where they are told to look."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from deploy.k8s.checks.containers import OWN_IMAGES
from deploy.k8s.checks.environment import expanded, resolved
from deploy.k8s.checks.references import keys_of
from deploy.k8s.checks.rendering import Document, Problem, Rendering

_FILE = re.compile(r"/\S+\.(ya?ml|json|conf|toml|sh|pem|crt|key|binpb)")


def sub_paths(rendering: Rendering) -> Iterator[Problem]:
    """A file that is mounted alone (subPath) is in the volume: else an empty directory would stand there."""
    for workload in rendering.workloads:
        volumes = {volume.get("name"): volume for volume in workload.pod.get("volumes", [])}
        for container in workload.all_containers:
            for mount in container.get("volumeMounts", []):
                files = _files(rendering, volumes.get(mount.get("name"), {}))
                if mount.get("subPath") and files is not None and mount["subPath"] not in files:
                    yield Problem(
                        workload.where(container),
                        f"mounts {mount['subPath']!r} of {mount.get('name')!r}, which has {', '.join(sorted(files))}",
                    )


def arguments(rendering: Rendering) -> Iterator[Problem]:
    """A file on a command line is in a volume: a combination of components that has none would not start."""
    for workload in rendering.workloads:
        volumes = {volume.get("name"): volume for volume in workload.pod.get("volumes", [])}
        for container in workload.all_containers:
            for path in _paths(rendering, container):
                mount = _mount_of(container, path)
                if mount is None:
                    if OWN_IMAGES not in container.get("image", ""):
                        yield Problem(workload.where(container), f"reads {path}, which is in no volume: mount it")
                    continue
                files = _files(rendering, volumes.get(mount.get("name"), {}))
                inside = str(PurePosixPath(path).relative_to(mount["mountPath"]))
                if files is not None and inside not in files and not mount.get("subPath"):
                    have = ", ".join(sorted(files)) or "nothing"
                    yield Problem(
                        workload.where(container), f"reads {path}, and that volume has {have}: correct the path"
                    )


def _paths(rendering: Rendering, container: Document) -> Iterator[str]:
    values = resolved(rendering, container)
    for argument in [*container.get("command", []), *container.get("args", [])]:
        text = expanded(str(argument), values) or ""
        path = text.partition("=")[2] if text.startswith("--") else text
        if _FILE.fullmatch(path):
            yield path


def _mount_of(container: Document, path: str) -> Document | None:
    """The mount that a path is in, the innermost."""
    mounts = [
        each for each in container.get("volumeMounts", []) if PurePosixPath(path).is_relative_to(each["mountPath"])
    ]
    return max(mounts, key=lambda each: len(each["mountPath"]), default=None)


def _files(rendering: Rendering, volume: Document) -> frozenset[str] | None:
    """What lies in a volume; None where nobody can tell."""
    for field, kind, key in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
        if field in volume:
            if "items" in volume[field]:
                return frozenset(item.get("path", "") for item in volume[field]["items"])
            return keys_of(rendering, kind, volume[field].get(key, ""))
    return None
