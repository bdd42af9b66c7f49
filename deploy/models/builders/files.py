"""Puts source files into the model's version folder as they are; several parts are joined in their order."""

from __future__ import annotations

import shutil

from pydantic import Field

from deploy.models.builders import BuildError, Work
from deploy.models.builders import Options as BaseOptions
from deploy.models.catalog import InnerPath, Sha256
from deploy.models.fetch import link_or_copy, sha256_of

VERSIONS: tuple[str, ...] = ()


class Options(BaseOptions):
    """files: path in the version folder -> the source files it is joined from; sha256: of the joined files."""

    files: dict[InnerPath, list[str]] = Field(default_factory=dict)
    sha256: dict[InnerPath, Sha256] = Field(default_factory=dict)


def build(work: Work) -> dict[str, float]:
    """Copy, or link where the cache's file system allows it, and join."""
    options: Options = work.options
    for name, parts in options.files.items():
        target = work.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        paths = [work.file(part) for part in parts]
        if len(paths) == 1:
            link_or_copy(paths[0], target)
        else:
            with target.open("wb") as joined:
                for path in paths:
                    with path.open("rb") as part_file:
                        shutil.copyfileobj(part_file, joined, 1 << 20)
        expected = options.sha256.get(name)
        if expected and (found := sha256_of(target)) != expected:
            message = f"{name} has SHA-256 {found} after joining, the catalog says {expected}: check the parts' order."
            raise BuildError(message)
    return {}
