"""Texts as the words that are spoken: lower case, letters and apostrophes, digits as number words."""

from __future__ import annotations

import re
import unicodedata

from services.mesh import errors
from services.speech.pipelines.commands import numbers

Words = tuple[str, ...]

# Longer ones are no words of any language, and a way to fill the memory of what pronounces them.
_MAX_LETTERS = 32
_WORD = re.compile(r"'?[a-z]+(?:'[a-z]+)*'?")
_DIGITS = re.compile(r"[0-9]+")
# What people write between words and nobody says.
_SILENT = str.maketrans({**dict.fromkeys(',.!?;:-\u2013\u2014\u2026"', " "), "\u2019": "'", "\u2018": "'"})


def words_of(field: str, text: str) -> Words:
    """The words. Raises InvalidArgument, naming the field and the word, for one that cannot be pronounced."""
    found: list[str] = []
    for written in re.sub(r"([0-9]+)", r" \1 ", text.translate(_SILENT)).split():
        word = "".join(
            letter for letter in unicodedata.normalize("NFKD", written.lower()) if not unicodedata.combining(letter)
        )
        if _DIGITS.fullmatch(word):
            found += _number(field, word)
        elif _WORD.fullmatch(word) and len(word) <= _MAX_LETTERS:
            found.append(word)
        else:
            raise errors.InvalidArgument.field(
                field,
                f"has {written[:_MAX_LETTERS]!r}, which cannot be pronounced: write it in letters, as it is said, each "
                f"word with at most {_MAX_LETTERS}",
            )
    return tuple(found)


def _number(field: str, digits: str) -> Words:
    if len(digits) > len(str(numbers.LARGEST)):
        raise errors.InvalidArgument.field(
            field, f"takes digits up to {numbers.LARGEST}: write greater numbers in words, as they are said"
        )
    return numbers.spoken(int(digits))[0]
