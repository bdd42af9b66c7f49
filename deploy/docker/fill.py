#!/usr/bin/env -S python3 -I -S
"""Brings the models of an image into a volume, for an init container of Triton: `fill /models /volume`.

The repository is <volume>/models, which Triton gets as its own; new versions are put there beside what this brings, and
loaded through the API. Several replicas may fill a volume at once: a version appears whole, or not at all. What others
put there is left alone; what an image before this one brought is replaced when it changed. Standard library only.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO


def fill(source: Path, volume: Path) -> list[str]:
    """Bring each version and configuration that is missing or old; returns which."""
    brought = []
    (volume / "brought").mkdir(exist_ok=True)
    with (
        (volume / "brought" / ".lock").open("w") as lock,
        tempfile.TemporaryDirectory(prefix="filling-", dir=volume) as drafts,
    ):
        for model in sorted(path for path in source.iterdir() if path.is_dir()):
            folder, records = volume / "models" / model.name, volume / "brought" / model.name
            folder.mkdir(parents=True, exist_ok=True)
            records.mkdir(parents=True, exist_ok=True)
            # The configurations last: a Triton that starts meanwhile must find the version that they are of.
            parts = sorted(model.iterdir(), key=lambda path: (path.name == "config.pbtxt", path.name))
            brought += [
                f"{model.name}/{part.name}"
                for part in parts
                if _bring(part, folder / part.name, records / part.name, Path(drafts), lock)
            ]
    return brought


def _bring(part: Path, target: Path, record: Path, drafts: Path, lock: IO[str]) -> bool:
    """Bring a folder or a file, if it is not there or is of an image before. record: keeps what was brought.

    lock: whoever has it puts something in its place; the copying before that goes on side by side.
    """
    wanted = _fingerprint(part)
    if _there(target, record, wanted):
        return False
    draft, old = drafts / "new", drafts / "old"
    if part.is_dir():
        shutil.copytree(part, draft)
    else:
        shutil.copyfile(part, draft)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        if not _there(target, record, wanted):  # else another replica was faster
            # Who is killed between the two begins again the next time.
            _note(record, "unfinished", drafts)
            if target.is_dir():
                target.rename(old)
            draft.rename(target)
            _note(record, wanted, drafts)
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)
    for leftover in (draft, old):
        shutil.rmtree(leftover, ignore_errors=True)
    return True


def _there(target: Path, record: Path, wanted: str) -> bool:
    """Whether it is there as wanted, or is there and not of ours."""
    return target.exists() and (not record.is_file() or record.read_text(encoding="utf-8") == wanted)


def _note(record: Path, text: str, drafts: Path) -> None:
    draft = drafts / "note"
    draft.write_text(text, encoding="utf-8")
    draft.rename(record)


def _fingerprint(part: Path) -> str:
    """SHA-256 of the names and contents of a file, or of all files of a folder."""
    digest = hashlib.sha256()
    files = sorted(path for path in part.rglob("*") if path.is_file()) if part.is_dir() else [part]
    for path in files:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(part)} {content}\n".encode())
    return digest.hexdigest()


def main(arguments: list[str]) -> int:
    """arguments: the image's models, the volume. Returns the exit code."""
    source, volume = (Path(argument) for argument in arguments)
    if not os.access(volume, os.W_OK):
        print(f"fill: cannot write to {volume} as {os.getuid()}: let its storage honour fsGroup.", file=sys.stderr)
        return 1
    brought = fill(source, volume)
    print(f"fill: {', '.join(brought) if brought else 'nothing'} brought to {volume / 'models'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
