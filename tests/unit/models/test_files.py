"""Rollouts in files."""

from __future__ import annotations

import pytest

from services.mesh import errors
from services.mesh.repository import Served
from services.models.files import Files
from services.models.pipelines.rollout import Rollout

ROLLOUT = Rollout(model="m", version=2, previous=1, configuration="{}", before=Served(3, 1, 0.5))


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path / "rollouts")


async def test_what_is_written_is_read(files):
    """Created, replaced, listed and deleted; a directory that is not there yet holds none."""
    assert await files.list() == []
    record = await files.create(ROLLOUT)
    assert await files.list() == [record]
    changed = await files.replace(record, ROLLOUT.back("slow", 1.0))
    assert [each.rollout for each in await files.list()] == [changed.rollout]
    await files.delete(changed)
    await files.delete(changed)
    assert await files.list() == []


async def test_a_change_by_somebody_else_is_not_overwritten(files, tmp_path):
    """Neither a second first one, nor what was changed or deleted by hand."""
    record = await files.create(ROLLOUT)
    with pytest.raises(errors.AlreadyExists):
        await files.create(ROLLOUT)
    path = tmp_path / "rollouts" / "m.json"
    path.write_text(ROLLOUT.told("by hand", 1.0).model_dump_json())
    for change in (files.replace(record, ROLLOUT), files.delete(record)):
        with pytest.raises(errors.Aborted):
            await change
    path.unlink()
    with pytest.raises(errors.Aborted):
        await files.replace(record, ROLLOUT)


async def test_what_cannot_be_read_is_not_there(files, tmp_path):
    """A file that is no rollout does not stop a new one."""
    (tmp_path / "rollouts").mkdir()
    (tmp_path / "rollouts" / "m.json").write_text("{")
    assert await files.list() == []
    assert (await files.create(ROLLOUT)).rollout == ROLLOUT


async def test_a_directory_that_cannot_be_used_is_told(tmp_path):
    """A file stands where the directory should be."""
    (tmp_path / "rollouts").write_text("")
    with pytest.raises(errors.Unavailable) as refused:
        await Files(tmp_path / "rollouts").create(ROLLOUT)
    assert refused.value.reason == "STATE_UNREACHABLE"
