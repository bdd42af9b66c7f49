"""A machine gets the model that it can carry, and is told why."""

from __future__ import annotations

import pytest

from deploy.models.catalog import CatalogError, Model
from deploy.models.selection import Machine, select, this_machine


@pytest.fixture
def models(entry):
    """A model that needs 4 GiB and is a default, the one that stands in for it, and one for every machine."""
    large = entry | {"name": "large", "default": True, "needs": {"memory_gib": 4}}
    small = entry | {"name": "small", "stands_in_for": "large"}
    return [Model.model_validate(one) for one in (entry, large, small)]


@pytest.mark.parametrize(
    ("machine", "taken", "note"),
    [
        (Machine(16), "large", "large: this machine has 16 GiB of memory, it needs 4."),
        (Machine(3.9), "large", "large: this machine has 4 GiB of memory, it needs 4."),
        (Machine(2), "small", "small instead of large: this machine has 2 GiB of memory, it needs 4."),
        (Machine(16, "small"), "small", "small instead of large: MAAS_MODEL_SIZE asks for small."),
        (Machine(2, "large"), "large", "large: MAAS_MODEL_SIZE asks for large."),
    ],
)
def test_one_of_two_is_taken(models, machine, taken, note):
    """The machine or the operator decides; what is taken is the default, and its note says why."""
    chosen = select(models, machine)
    assert [model.name for model in chosen] == ["tiny", taken]
    assert (chosen[0].note, chosen[0].default) == ("", False)
    assert (chosen[1].note, chosen[1].default) == (note, True)


@pytest.mark.parametrize(
    ("group", "files", "gibibytes"),
    [
        ("0::/", {}, 24),
        ("0::/", {"memory.max": "max"}, 24),
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": str(2 << 30)}, 2),
        ("0::/", {"memory.max": str(64 << 30)}, 24),
        ("5:cpu:/x\n4:memory:/x", {"memory/memory.limit_in_bytes": str(3 << 30)}, 3),
    ],
)
def test_the_memory_of_a_container(tmp_path, group, files, gibibytes):
    """The limit of a control group counts, of whichever version and however far above us, if it is the smaller one."""
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text(f"MemTotal:  {24 << 20} kB\nMemFree: 1 kB\n")
    (tmp_path / "proc" / "self" / "cgroup").write_text(group + "\n")
    for name, content in files.items():
        path = tmp_path / "sys" / "fs" / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    assert this_machine("", tmp_path) == Machine(gibibytes, "auto")


def test_this_machine_can_be_read():
    """The real files are understood; an unknown size is refused with those that exist."""
    assert this_machine("large").memory_gib > 0.1
    with pytest.raises(CatalogError, match="MAAS_MODEL_SIZE is 'huge': it must be one of auto, small, large"):
        this_machine("huge")
