"""The builders: each a module with `Options`, `VERSIONS` and `build`, found by the name a catalog file gives.

What several of them share stands in a module with an underscore.

A builder imports its heavy libraries inside `build`, so that a run with nothing to build stays short.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from pydantic import BaseModel, ConfigDict

from deploy.models.catalog import CatalogError


class BuildError(Exception):
    """A model could not be built; the message says why and what to do."""


class Options(BaseModel):
    """Base of a builder's options: the keys beside `name` in the catalog's `builder`."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Work:
    """What a builder gets.

    files: the source files by their path inside their package; folder: the version folder to fill; report: called
    with a few words when a new step begins.
    """

    options: Any
    files: dict[str, Path]
    folder: Path
    report: Callable[[str], None]

    def file(self, name: str) -> Path:
        """Where the source file lies. Raises BuildError when the catalog's sources do not list it."""
        if name not in self.files:
            message = f"builder: {name} is not among the sources' files: correct the catalog."
            raise BuildError(message)
        return self.files[name]


class Builder(Protocol):
    """A module in this package."""

    Options: type[Options]
    VERSIONS: tuple[str, ...]  # distributions whose version changes what is built

    def build(self, work: Work) -> dict[str, float]:
        """Fill `work.folder` and return what was measured. Raises BuildError."""


def find(name: str, where: str) -> Builder:
    """The builder of this name. Raises CatalogError that names the catalog file, `where`."""
    folder = Path(__file__).parent
    known = sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))
    if name not in known:
        message = f"{where}: builder.name: {name!r} is not one of {', '.join(known)}."
        raise CatalogError(message)
    return cast("Builder", importlib.import_module(f"{__name__}.{name}"))


def source_of(name: str) -> Path:
    """The builder's source file, part of the key under which its models are cached."""
    return Path(__file__).parent / f"{name}.py"
