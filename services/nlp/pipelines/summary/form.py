"""The form of a summary: its style and its limits, held while a language model writes it.

Text is let through sentence by sentence (or line by line), so that what was sent never has to be taken back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from services.nlp.pipelines.words import count_words, is_finished, sentences

Style = Literal["paragraph", "bullets", "headline"]

_BULLET = re.compile(r"^\s*(?:[-*\u2022\u00b7\u2013]|\d{1,2}[.)\u3001])\s*")
_EMPHASIS = re.compile(r"\*\*|__|^#+\s*|`", re.MULTILINE)
# "Summary:", "Here is the summary in two sentences:", "摘要："; only where a text begins.
_PREFACE = re.compile(
    r"^\s*(?:here(?:'s| is| are)[^\n:.!]{0,80}:\s*|(?:sure|certainly)[!.,:]\s*|"
    r"(?:title|headline|summary|in summary|标题|摘要|总结|概要)\s*[:\uff1a,\uff0c]\s*|"
    r"以下是[^\n\uff1a:]{0,30}[\uff1a:]\s*)",
    re.IGNORECASE,
)
_QUOTES = "\"'\u201c\u201d\u2018\u2019\u300a\u300b\u300c\u300d"
_STOPS = ".\u3002!\uff01;\uff1b"


@dataclass(frozen=True, slots=True)
class Wish:
    """What form a summary is to have. max_words: 0 means no limit; characters of Chinese and Japanese are words."""

    style: Style = "paragraph"
    max_sentences: int = 3
    max_words: int = 0


class Form:
    """Takes what a model writes and gives what fits the wish.

    full: nothing more will be taken; the model may stop. too_long: sentences that were left out since even the first
    has more words than were asked for.
    """

    def __init__(self, wish: Wish) -> None:
        self._wish = wish
        self._pending = ""
        self._units: list[str] = []
        self.full = False
        self.too_long: list[str] = []

    @property
    def text(self) -> str:
        """All that was let through."""
        return self._joint.join(self._units)

    @property
    def empty(self) -> bool:
        """Whether nothing was let through yet."""
        return not self._units

    def add(self, text: str) -> str:
        """What can be let through now that this was written."""
        self._pending += text
        *whole, self._pending = self._split()
        return self._take(whole)

    def finish(self, *, complete: bool) -> str:
        """The rest. complete: whether the model had said everything; else an unfinished sentence is left out."""
        rest, self._pending = self._pending, ""
        if not complete and self._wish.style == "paragraph" and not is_finished(rest) and self._units:
            return ""
        return self._take([rest])

    def force(self, sentence: str) -> str:
        """Let a sentence through although it is too long."""
        self._units.append(sentence)
        return sentence

    @property
    def _joint(self) -> str:
        if self._wish.style != "paragraph":
            return "\n"
        return "" if self._units and self._units[0][-1:] in "\u3002\uff01\uff1f" else " "

    def _split(self) -> list[str]:
        """The pending text as whole units and what is left of it, possibly nothing."""
        if self._wish.style != "paragraph":
            return self._pending.split("\n")
        text = self._pending
        spans = sentences(text)
        # The last may go on: "3." may become "3.5", and a quotation mark may follow.
        whole = [text[begin:end] for begin, end in spans if end < len(text.rstrip())]
        return [*whole, text[spans[len(whole)][0] :] if len(whole) < len(spans) else ""]

    def _take(self, units: list[str]) -> str:
        new = ""
        for unit in units:
            clean = self._clean(unit)
            if self.full or not clean or clean in self._units:
                continue
            if self._wish.max_words and count_words(self.text) + count_words(clean) > self._wish.max_words:
                # A shorter one after it would be out of place.
                self.full = True
                if not self._units:
                    self.too_long.append(clean)
                continue
            new += (self._joint if self._units else "") + clean
            self._units.append(clean)
            self.full = self._wish.style == "headline" or len(self._units) >= self._wish.max_sentences
        return new

    def _clean(self, unit: str) -> str:
        text = _EMPHASIS.sub("", unit)
        if not self._units:
            text = _PREFACE.sub("", text)
        text = " ".join(_BULLET.sub("", text).split()) if self._wish.style != "paragraph" else " ".join(text.split())
        if not count_words(text) or (text.endswith((":", "\uff1a")) and not self._units):
            return ""
        if self._wish.style == "headline":
            return text.strip(_QUOTES + " ").rstrip(_STOPS).strip(_QUOTES + " ")
        return f"- {text}" if self._wish.style == "bullets" else text
