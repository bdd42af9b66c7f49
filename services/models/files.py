"""Rollouts of a mesh on one machine, kept in files (services.models.pipelines.kept.Kept)."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import structlog
from pydantic import ValidationError

from services.mesh import errors
from services.models.pipelines.kept import Record
from services.models.pipelines.rollout import Rollout

log = structlog.get_logger()

Result = TypeVar("Result")


class Files:
    """A file a model. Its revision is its content's checksum, so that a change by hand counts as one."""

    def __init__(self, directory: Path) -> None:
        """directory: made when it is needed."""
        self._directory = directory

    async def list(self) -> Sequence[Record]:
        """All of them."""
        return await _within(self._read_all)

    async def create(self, rollout: Rollout) -> Record:
        """The first of a model."""
        return await _within(lambda: self._write(rollout, ""))

    async def replace(self, record: Record, rollout: Rollout) -> Record:
        """Another in its place."""
        return await _within(lambda: self._write(rollout, record.revision))

    async def delete(self, record: Record) -> None:
        """Forget it."""
        await _within(lambda: self._delete(record))

    def _read_all(self) -> Sequence[Record]:
        found = []
        for path in sorted(self._directory.glob("*.json")):
            try:
                found.append(_record(path.read_text("utf-8")))
            except FileNotFoundError:
                continue
            except (ValidationError, UnicodeDecodeError):
                log.warning("a file is no rollout", file=path.name)
        return found

    def _write(self, rollout: Rollout, revision: str) -> Record:
        path = self._path(rollout.model)
        _require(path, revision)
        self._directory.mkdir(parents=True, exist_ok=True)
        text = rollout.model_dump_json(indent=2)
        new = path.with_suffix(".new")
        new.write_text(text, "utf-8")
        os.replace(new, path)  # noqa: PTH105 - the name for what cannot be seen half done
        return Record(rollout, _revision(text))

    def _delete(self, record: Record) -> None:
        path = self._path(record.rollout.model)
        if path.exists():
            _require(path, record.revision)
            path.unlink()

    def _path(self, model: str) -> Path:
        return self._directory / f"{model}.json"


def _record(text: str) -> Record:
    return Record(Rollout.model_validate_json(text), _revision(text))


def _revision(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _require(path: Path, revision: str) -> None:
    """Raise AlreadyExists or Aborted unless the file is as it was; revision "": it was not there."""
    try:
        text = path.read_text("utf-8", "replace")
    except FileNotFoundError:
        if revision:
            raise errors.Aborted("the rollout was deleted by somebody else") from None
        return
    if not revision and _readable(text):
        raise errors.AlreadyExists("the model has a rollout already", reason="ROLLOUT_ALREADY_EXISTS")
    if revision and revision != _revision(text):
        raise errors.Aborted("the rollout was changed by somebody else")


def _readable(text: str) -> bool:
    """What is no rollout does not stand in the way of one."""
    try:
        _record(text)
    except ValidationError:
        return False
    return True


async def _within(work: Callable[[], Result]) -> Result:
    try:
        return await asyncio.to_thread(work)
    except OSError as error:
        log.warning("the rollouts' files cannot be used", cause=type(error).__name__)
        raise errors.Unavailable(
            "the files of the rollouts cannot be used", reason="STATE_UNREACHABLE", retry_after_seconds=1
        ) from None
