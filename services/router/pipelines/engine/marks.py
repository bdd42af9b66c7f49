"""Puts back what was masked."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Also as models write marks that they were told to keep: [person 1], [Person_1], [PERSON\_1]. Bounded, since what a
# model writes may be anything.
_MARK = re.compile(r"\[\s?([A-Za-z][A-Za-z_ \\]{0,39}?)\\?[_ ](\d{1,9})\s?\]")
_BETWEEN = re.compile(r"\\?[_ ]")


def restore(text: str, originals: Mapping[str, str]) -> str:
    """The text with originals in the place of their marks. What looks like a mark and is none stays."""

    def original(match: re.Match[str]) -> str:
        mark = f"[{_BETWEEN.sub('_', match[1].upper())}_{match[2]}]"
        return originals.get(mark, match[0])

    return _MARK.sub(original, text) if originals else text
