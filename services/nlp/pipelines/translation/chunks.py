"""A text cut into chunks for a model at the ends of sentences, and put together again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.mesh.deadline import Deadline
from services.mesh.ports import Preprocessor, Sentence
from services.nlp.pipelines.translation.checks import UNSPACED, letters
from services.nlp.pipelines.translation.markup import HELD, Prose, Text
from services.nlp.pipelines.translation.models import Writer
from services.nlp.pipelines.translation.pairs import Pair
from services.nlp.pipelines.translation.terms import peeled

# Texts that preprocessing takes in one call.
_SEGMENTED_AT_ONCE = 64
# What stands before the prose of a list item, a heading or a quotation in a mail.
_BULLET = re.compile(r"(?:\s|[-*+•>#]+\s|\d{1,3}[.)]\s)*")


@dataclass(frozen=True, slots=True)
class _Chunk:
    """What is translated at once, and what stands before it."""

    gap: str
    core: str


class Cut:
    """A text and where it is cut."""

    def __init__(self, text: Text, writer: Writer) -> None:
        self._text = text
        self._writer = writer
        # For each piece of prose its chunks, the last with an empty core.
        self._chunks: list[list[_Chunk]] = []

    async def find(self, preprocessor: Preprocessor, language_code: str, deadline: Deadline) -> None:
        """Find the places to cut at, by sentences wherever prose does not go to the model as a whole."""
        proses = [prose.text for prose in self._text.proses()]
        cut = [
            index
            for index, prose in enumerate(proses)
            if letters(prose) and (self._writer.sentences or len(prose) > self._writer.characters)
        ]
        sentences: dict[int, list[Sentence]] = {}
        for begin in range(0, len(cut), _SEGMENTED_AT_ONCE):
            batch = cut[begin : begin + _SEGMENTED_AT_ONCE]
            views = [self._view(proses[index]) for index in batch]
            found = await preprocessor.segment(views, language_codes=[language_code] * len(batch), deadline=deadline)
            sentences.update(zip(batch, found, strict=True))
        self._chunks = [
            self._cut(prose, sentences.get(index, [Sentence(0, len(prose.text))]))
            for index, prose in enumerate(self._text.proses())
        ]

    def wanted(self) -> list[str]:
        """The chunks that hold words, each once."""
        cores = (chunk.core for chunks in self._chunks for chunk in chunks)
        return list(dict.fromkeys(core for core in cores if letters(core)))

    def joined(self, done: Mapping[str, str], pair: Pair) -> str:
        """The whole text, with what was made of the chunks."""
        proses = iter(self._chunks)
        return "".join(
            self._text.written(_together(next(proses), done, pair)) if isinstance(piece, Prose) else piece
            for piece in self._text.pieces
        )

    def _view(self, prose: str) -> str:
        """What finds sentences sees brackets for tags, so that those around a sentence belong to it, else X."""
        brackets = {1: "(", -1: ")", 0: "X"}
        return HELD.sub(lambda match: brackets[self._text[match[0]].step], prose)

    def _cut(self, prose: Prose, sentences: Sequence[Sentence]) -> list[_Chunk]:
        text = prose.text
        chunks: list[_Chunk] = []
        after = ""
        end = 0
        for span in self._spans(text, sentences):
            before, core, behind = peeled(self._text, text[slice(*span)])
            chunks.append(
                _Chunk(after + text[end : span[0]] + before, re.sub(r"\s+", " ", core) if prose.soft else core)
            )
            after, end = behind, span[1]
        return [*chunks, _Chunk(after + text[end:], "")]

    def _spans(self, text: str, sentences: Sequence[Sentence]) -> list[tuple[int, int]]:
        """Sentences, those that fit together as one."""
        longest = self._writer.characters
        bullet = _BULLET.match(text)
        begin = bullet.end() if bullet else 0
        spans: list[tuple[int, int]] = []
        for sentence in sentences:
            for span in _bounded(text, max(begin, sentence.begin), sentence.end, longest):
                if spans and not self._writer.sentences and span[1] - spans[-1][0] <= longest:
                    spans[-1] = (spans[-1][0], span[1])
                else:
                    spans.append(span)
        return spans


def _bounded(text: str, begin: int, end: int, longest: int) -> list[tuple[int, int]]:
    """A sentence that is too long in parts, cut at the last blank or comma of their second half, or at the end."""
    spans: list[tuple[int, int]] = []
    while end - begin > longest:
        half = text[begin + longest // 2 : begin + longest]
        breaks = [match.end() for match in re.finditer(r"\s+|[，、；,;]", half)]
        cut = begin + longest // 2 + breaks[-1] if breaks else begin + longest
        spans.append((begin, cut))
        begin = cut
    return [*spans, (begin, end)] if begin < end else spans


def _together(chunks: Sequence[_Chunk], done: Mapping[str, str], pair: Pair) -> str:
    """The chunks of one piece of prose, with blanks between sentences as the target language has them."""
    parts: list[str] = []
    for index, chunk in enumerate(chunks):
        gap = chunk.gap
        if 0 < index < len(chunks) - 1:
            if pair.target in UNSPACED:
                gap = gap.replace(" ", "")
            elif pair.source in UNSPACED and not re.search(r"\s", gap):
                gap += " "
        parts += [gap, done.get(chunk.core, chunk.core)]
    return "".join(parts)
