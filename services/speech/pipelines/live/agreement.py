"""Makes of successive readings of one utterance a text that grows, and counts what is taken back.

LocalAgreement-2 (Macháček, Dabre, Bojar: "Turning Whisper into Real-Time Transcription System", 2023): words on which
two successive readings agree are kept. What a later reading hears differently there is left to the final one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

# A character of a writing without spaces, with the marks that follow it; else what stands between spaces and those.
_SPACELESS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0e7f"
_WORD = re.compile(rf"\s*(?:[{_SPACELESS}][^\w\s]*|[^\s{_SPACELESS}]+)")
# A sound that ends in the middle of a word is often heard as another word.
_HELD_BACK = 1


@dataclass(frozen=True, slots=True)
class Interim:
    """What may be shown: all of it, its beginning that is agreed on, and that beginning's share of the words."""

    transcript: str
    stable_transcript: str
    stability: float


class Agreement:
    """The readings of one utterance. Bounded by the longest utterance."""

    def __init__(self) -> None:
        self._agreed: list[str] = []
        self._last: list[str] = []

    def read(self, text: str) -> Interim:
        """The next reading, of more sound than the one before."""
        words = words_of(text)
        words = [*self._agreed, *words[_after(self._agreed, words) :]]
        same = common(self._last, words)
        self._agreed = words[: max(same, len(self._agreed))]
        self._last = words
        shown = words[: max(len(words) - _HELD_BACK, len(self._agreed))]
        return Interim(
            "".join(shown).strip(),
            "".join(self._agreed).strip(),
            len(self._agreed) / len(shown) if shown else 0.0,
        )


def words_of(text: str) -> list[str]:
    """Its words with the white space before them; of writing without spaces its characters."""
    return _WORD.findall(text)


def common(first: Sequence[str], second: Sequence[str]) -> int:
    """How many words both begin with, whatever their case and punctuation."""
    same = 0
    for one, other in zip(first, second, strict=False):
        if _bare(one) != _bare(other):
            break
        same += 1
    return same


def retracted(shown: Sequence[str], final: str) -> int:
    """How many words were taken back in one utterance: by each text of those that stood after its first change.

    shown: what was shown one after the other. That is erasure as Arivazhagan et al. count it ("Re-translation versus
    Streaming for Simultaneous Translation", 2020), but words that differ in case or punctuation count as the same.
    """
    texts = [words_of(text) for text in (*shown, final)]
    return sum(len(before) - common(before, after) for before, after in pairwise(texts))


def _after(agreed: Sequence[str], words: Sequence[str]) -> int:
    """How many of the words stand for those that are agreed: the beginning of them that is most like these."""
    costs = list(range(len(words) + 1))
    bare = [_bare(word) for word in words]
    for row, one in enumerate(map(_bare, agreed), 1):
        above, costs[0] = costs[0], row
        for column, other in enumerate(bare, 1):
            above, costs[column] = (
                costs[column],
                min(above + (one != other), costs[column] + 1, costs[column - 1] + 1),
            )
    # Of several, the one that takes as many words as are agreed; else words would be shown twice or left out.
    return min(range(len(costs)), key=lambda column: (costs[column], abs(column - len(agreed))))


def _bare(word: str) -> str:
    kept = (each for each in unicodedata.normalize("NFKC", word).casefold() if each.isalnum())
    return "".join(kept) or word.strip()
