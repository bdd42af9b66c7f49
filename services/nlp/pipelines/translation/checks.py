"""Whether what a model wrote can be a translation at all."""

from __future__ import annotations

import re

# Languages written without blanks between words and sentences.
UNSPACED = frozenset(("zh", "ja"))
_IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
# A Chinese character says about as much as three letters of an alphabet.
_LETTERS_AN_IDEOGRAPH = 3
# Lengths in letters: translations are between a third and three times the source, and of a few words anything goes.
_RATIO = 3
_FEW_LETTERS = 20
_FEW_WORDS = 3


def letters(text: str) -> int:
    """How many letters a text has."""
    return sum(map(str.isalpha, text))


def is_odd(source: str, written: str, target_language: str) -> bool:
    """Whether it is empty, far too short or long, or still what the source is.

    Both without what is kept: names and placeholders prove nothing.
    """
    before, after = _size(source), _size(written)
    if after == 0 or not before / _RATIO - _FEW_LETTERS <= after <= before * _RATIO + _FEW_LETTERS:
        return True
    if _words(source) <= _FEW_WORDS:
        return False
    same = source.casefold().split() == written.casefold().split()
    # A third of the letters in the wrong script is more than a name or two.
    ideographs = len(_IDEOGRAPH.findall(written))
    wrong = letters(written) - ideographs if target_language in UNSPACED else ideographs
    share = wrong / max(1, letters(written))
    return same or share > (2 / 3 if target_language in UNSPACED else 1 / 3)


def _size(text: str) -> int:
    return letters(text) + (_LETTERS_AN_IDEOGRAPH - 1) * len(_IDEOGRAPH.findall(text))


def _words(text: str) -> int:
    return len(text.split()) + len(_IDEOGRAPH.findall(text)) // 2
