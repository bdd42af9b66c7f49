"""Entities with spaCy: a text -> JSON list of {"begin", "end", "type", "score"}.

Offsets are code points, end exclusive. score is null: spaCy's parser decides greedily and has no probabilities.
"""

# ruff: noqa: INP001 - Triton loads this file by its path, not as part of a package
from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from deploy.triton.text import TextModel

# The entity recogniser has token vectors of its own; the other components would only cost time.
UNUSED = ["tok2vec", "tagger", "parser", "senter", "attribute_ruler", "lemmatizer"]
TYPES = {
    "PERSON": "PERSON",
    "GPE": "LOCATION",
    "LOC": "LOCATION",
    "FAC": "LOCATION",
    "ORG": "ORGANIZATION",
    "DATE": "DATE",
    "TIME": "TIME",
    "MONEY": "MONEY",
    "QUANTITY": "QUANTITY",
    "PERCENT": "QUANTITY",
    "CARDINAL": "QUANTITY",
    "ORDINAL": "QUANTITY",
    "EVENT": "EVENT",
    "PRODUCT": "PRODUCT",
}
NAMES = {"LOCATION", "ORGANIZATION", "EVENT", "OTHER"}


class TritonPythonModel(TextModel):
    """text bytes[1] -> entities bytes[1], both a row."""

    output = "entities"

    def load(self, folder: Path, options: dict[str, str]) -> None:  # noqa: ARG002 - it has none
        """Load the recogniser alone, and keep its library from loading torch, which it does not need (200 MB)."""
        sys.modules["torch"] = None  # the import system's own sign for "not there"
        import spacy  # noqa: PLC0415 - after the line above

        self._nlp = spacy.load(folder / "weights", exclude=UNUSED)

    def answer(self, texts: list[str]) -> list[str]:
        """All texts as one batch."""
        return [json.dumps([_entity(span) for span in document.ents]) for document in self._nlp.pipe(texts)]


def _entity(span: Any) -> dict[str, Any]:
    kind = TYPES.get(span.label_, "OTHER")
    begin = span.start_char
    if kind in NAMES and span[0].lower_ == "the" and len(span) > 1:
        begin = span[1].idx  # it includes the article, but not always
    return {"begin": begin, "end": span.end_char, "type": kind, "score": None}
