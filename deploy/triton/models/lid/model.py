"""Language identification with fastText: a text -> JSON list of [BCP-47 code, probability], best first."""

# ruff: noqa: INP001 - Triton loads this file by its path, not as part of a package
from __future__ import annotations

import json
from pathlib import Path

from fasttext import load_model

from deploy.triton.text import TextModel

ALTERNATIVES = 5
# The model was trained on Wikipedia, whose code for Alemannic is the ISO code of an Albanian language.
CODES = {"als": "gsw"}


class TritonPythonModel(TextModel):
    """text bytes[1] -> languages bytes[1], both a row; [] for a text that cannot be told."""

    output = "languages"

    def load(self, folder: Path, options: dict[str, str]) -> None:  # noqa: ARG002 - it has none
        """Load the quantised model."""
        self._model = load_model(str(folder / "lid.176.ftz"))
        # What it answers when it knows no part of a text: how often it saw each language.
        self._prior = self._model.predict("", k=ALTERNATIVES)

    def answer(self, texts: list[str]) -> list[str]:
        """Each text by itself: it takes some 20 microseconds."""
        return [json.dumps(self._languages(text)) for text in texts]

    def _languages(self, text: str) -> list[tuple[str, float]]:
        if not any(map(str.isalpha, text)):
            return []
        # Line breaks end an example of fastText's. Capitals in a row it takes for another language than small letters.
        found = self._model.predict(" ".join(text.split()).lower(), k=ALTERNATIVES)
        if found == self._prior:
            return []
        labels, probabilities = found
        codes = [label.removeprefix("__label__") for label in labels]
        return [
            (CODES.get(code, code), round(min(float(probability), 1.0), 4))
            for code, probability in zip(codes, probabilities, strict=True)
        ]
