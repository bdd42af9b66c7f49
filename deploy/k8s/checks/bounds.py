"""Bounds that a program sets itself lie within those of its container: it refuses, and is not killed."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import PurePosixPath

from pydantic_settings import BaseSettings

from deploy.k8s.checks.environment import resolved
from deploy.k8s.checks.quantities import parse
from deploy.k8s.checks.rendering import Document, Problem, Rendering, Workload, at
from deploy.k8s.checks.settings import programs, variables_of

_TEMPORARY = "/tmp"  # noqa: S108 - where the image has its temporary files


def bounds(rendering: Rendering) -> Iterator[Problem]:
    """What preprocessing takes of memory, and of disk for videos that must come whole, is there."""
    for workload, container, settings in programs(rendering):
        # The others know these settings too, for when they open their input themselves; then they need this directory.
        if f"{settings.model_config.get('env_prefix', '')}ASSETS_DIRECTORY" not in resolved(rendering, container):
            continue
        memory = _amount(at(container, "resources", "limits").get("memory"))
        asked = _setting(rendering, container, settings, "max_memory_bytes")
        if memory is not None and asked >= memory:
            yield Problem(
                workload.where(container),
                f"may take {asked} bytes of memory by its settings, and is killed at {memory}: lower max_memory_bytes",
            )
        disk = _disk(workload, container)
        spooled = [_setting(rendering, container, settings, each) for each in ("max_spooled_bytes", "max_videos")]
        if disk is not None and spooled[0] * spooled[1] > disk:
            yield Problem(
                workload.where(container),
                f"may keep {spooled[1]} videos of {spooled[0]} bytes, and {_TEMPORARY} has {disk}: raise its sizeLimit",
            )


def _setting(rendering: Rendering, container: Document, settings: type[BaseSettings], field: str) -> Decimal:
    """As the container sets it, or its default; what is no number `variable_values` tells."""
    variable = next(name for name, known in variables_of(settings).items() if known == field)
    value = resolved(rendering, container).get(variable) or settings.model_fields[field].default
    return _amount(value) or Decimal(0)


def _disk(workload: Workload, container: Document) -> Decimal | None:
    """The limit of the volume that temporary files lie in."""
    mounts = {each.get("mountPath"): each.get("name") for each in container.get("volumeMounts", [])}
    held = next((mounts[path] for path in mounts if PurePosixPath(_TEMPORARY).is_relative_to(str(path))), None)
    volume: Document = next((each for each in workload.pod.get("volumes", []) if each.get("name") == held), {})
    return _amount(at(volume, "emptyDir").get("sizeLimit"))


def _amount(value: object) -> Decimal | None:
    try:
        return parse(value)
    except ValueError:
        return None
