"""Which of two models a machine gets: the one that needs more, or the one that stands in for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from deploy.models.catalog import CatalogError, Model

Size = Literal["auto", "small", "large"]
VARIABLE = "MAAS_MODEL_SIZE"
GIBIBYTE = 1 << 30
# A machine sold with 4 GiB shows a little less.
TOLERANCE = 0.95


@dataclass(frozen=True)
class Machine:
    """What decides, and how: size "small" and "large" leave the machine out of it."""

    memory_gib: float
    size: Size = "auto"


def this_machine(size: str, root: Path = Path("/")) -> Machine:
    """The machine, or the container, that we run in. size: the value of MAAS_MODEL_SIZE, "" for auto.

    Raises CatalogError for any other size.
    """
    for known in get_args(Size):
        if known == (size or "auto"):
            memory = min([_total_bytes(root), *_limits_bytes(root)])
            return Machine(memory / GIBIBYTE, known)
    message = f"{VARIABLE} is {size!r}: it must be one of {', '.join(get_args(Size))}."
    raise CatalogError(message)


def select(models: list[Model], machine: Machine) -> list[Model]:
    """The models for this machine; where it had a choice, with a note that says what was taken and why."""
    stand_ins = {model.stands_in_for: model for model in models if model.stands_in_for}
    chosen = []
    for model in models:
        if model.stands_in_for:
            continue
        if model.needs is None:
            chosen.append(model)
            continue
        carried, reason = _decide(model.needs.memory_gib, machine)
        if carried:
            chosen.append(model.model_copy(update={"note": f"{model.name}: {reason}."}))
        else:
            small = stand_ins[model.name]
            note = f"{small.name} instead of {model.name}: {reason}."
            chosen.append(small.model_copy(update={"default": model.default, "note": note}))
    return chosen


def _decide(memory_gib: float, machine: Machine) -> tuple[bool, str]:
    """Whether a model that needs so much is taken, and why."""
    if machine.size != "auto":
        return machine.size == "large", f"{VARIABLE} asks for {machine.size}"
    reason = f"this machine has {machine.memory_gib:.0f} GiB of memory, it needs {memory_gib:g}"
    return machine.memory_gib >= memory_gib * TOLERANCE, reason


def _total_bytes(root: Path) -> int:
    for line in (root / "proc" / "meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    message = "/proc/meminfo does not say how much memory there is."
    raise CatalogError(message)


def _limits_bytes(root: Path) -> Iterator[int]:
    """The limits of our control group and those above it, version 2 and 1; none where nothing limits us."""
    groups = root / "sys" / "fs" / "cgroup"
    for line in (root / "proc" / "self" / "cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        base = groups if not controllers else groups / "memory"
        if controllers and "memory" not in controllers.split(","):
            continue
        group = base / path.lstrip("/")
        for folder in [group, *group.parents]:
            limit = folder / ("memory.limit_in_bytes" if controllers else "memory.max")
            if limit.is_file() and (value := limit.read_text(encoding="utf-8").strip()) != "max":
                yield int(value)
            if folder == base:
                break
