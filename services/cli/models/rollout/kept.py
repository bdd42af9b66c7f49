"""Rollouts of a mesh on one machine, kept in its run directory."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from services.cli.models.rollout.state import Rollout


class Files:
    """A file a model (services.cli.models.rollout.state.Kept)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, model: str) -> Rollout | None:
        """None as well when nobody can read what is there."""
        try:
            return Rollout.model_validate_json(self._path(model).read_text("utf-8"))
        except (OSError, ValidationError):
            return None

    def write(self, rollout: Rollout) -> None:
        """All of it or nothing."""
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._path(rollout.model)
        new = path.with_suffix(".new")
        new.write_text(rollout.model_dump_json(indent=2), "utf-8")
        os.replace(new, path)  # noqa: PTH105 - the name for what cannot be seen half done

    def _path(self, model: str) -> Path:
        return self._directory / f"{model}.json"
