"""The gallery of faces on one machine: a database and a key of its own, made at the first start."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

_KEY_BYTES = 32


def gallery_environment(directory: Path) -> dict[str, str]:
    """What the vision service must be told to keep its gallery in that directory.

    Both files stay when the mesh stops. Whoever loses the key has lost the gallery.
    """
    return {
        "VISION_GALLERY_URL": f"sqlite:///{directory / 'faces.sqlite'}",
        "VISION_GALLERY_KEY_FILE": str(key_file(directory / "faces.key")),
    }


def key_file(path: Path) -> Path:
    """The file, with a new random key in it when there was none; only its owner can read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written whole before it has its name, so that a start that is killed leaves no half of a key.
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(base64.b64encode(secrets.token_bytes(_KEY_BYTES)) + b"\n")
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path
