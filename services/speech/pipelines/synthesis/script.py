"""What is to be said, piece by piece: the common form of plain texts and of SSML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SayAsKind = Literal["characters", "digits", "cardinal", "ordinal", "telephone", "date"]


@dataclass(frozen=True, slots=True)
class Words:
    """Text as people write it."""

    text: str
    rate: float = 1.0


@dataclass(frozen=True, slots=True)
class SayAs:
    """Text that is read in a certain way. order: of the parts of a date, as in "dmy"; "" for that of the language."""

    text: str
    kind: SayAsKind
    rate: float = 1.0
    order: str = ""


@dataclass(frozen=True, slots=True)
class Phonemes:
    """Text whose sounds are given in the International Phonetic Alphabet."""

    text: str
    ipa: str
    rate: float = 1.0


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Boundary:
    """The end of a sentence, or of a paragraph."""

    paragraph: bool = False


Span = Words | SayAs | Phonemes | Pause | Boundary


@dataclass(frozen=True, slots=True)
class Script:
    """What a request wants said. field: where it stood, for errors. language: that the text itself names, or ""."""

    field: str
    spans: tuple[Span, ...]
    language: str = ""

    @classmethod
    def of_text(cls, text: str) -> Script:
        """A plain text."""
        return cls("text", (Words(text),))

    @property
    def text(self) -> str:
        """All that is written in it."""
        return " ".join(span.text for span in self.spans if isinstance(span, Words | SayAs | Phonemes))
