"""Which sentences of the passages may hold the answer to a question."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.mesh.deadline import Deadline
from services.mesh.models import Models
from services.mesh.ports import Preprocessor, Sentence
from services.nlp.pipelines.encode import EMBEDDING, TextEncoder
from services.nlp.pipelines.words import count_words, terms

MAX_PASSAGES = 32
# Sentences that a model looks at; each costs it about a second on two cores.
_CANDIDATES = 4
# Sentences that are compared by meaning; of more, those that share most words with the question.
_MAX_COMPARED = 256
# Longer sentences, such as text without full stops, are cut.
_MAX_CHARACTERS = 600


@dataclass(frozen=True, slots=True)
class Passage:
    """A text that answers must keep to."""

    id: str
    content: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """A sentence of a passage: the passage's number, the sentence's place in code points.

    before: the sentence before it, which says what "it" is.
    """

    passage: int
    begin: int
    end: int
    text: str
    before: Evidence | None = None

    @property
    def in_context(self) -> str:
        """The sentence with the one before it, on one line."""
        before = self.before.text if self.before else ""
        return " ".join(f"{before} {self.text}".split())


class EvidenceFinder:
    """Finds them by meaning."""

    def __init__(self, encoder: TextEncoder, preprocessor: Preprocessor, models: Models) -> None:
        self._encoder = encoder
        self._preprocessor = preprocessor
        self._models = models

    async def find(self, question: str, code: str, passages: Sequence[Passage], deadline: Deadline) -> list[Evidence]:
        """At most four sentences, the nearest to the question first.

        code: language of the question, "" if unknown. Raises what Models.pick and the ports raise.
        """
        found = await self._preprocessor.segment(
            [passage.content for passage in passages], language_codes=[""] * len(passages), deadline=deadline
        )
        # Beside the event loop: passages may have tens of thousands of sentences.
        compared = await asyncio.to_thread(_likeliest, question, passages, found)
        if not compared:
            return []
        card = self._models.pick(EMBEDDING, "", language_code=code)
        (query,) = await self._encoder.embed([question], card, deadline, kind="query")
        vectors = await self._encoder.embed([each.in_context for each in compared], card, deadline)
        nearness = np.stack([vector.values for vector in vectors]) @ query.values
        return [compared[place] for place in np.argsort(-nearness, kind="stable")[:_CANDIDATES]]


def _likeliest(question: str, passages: Sequence[Passage], found: Sequence[Sequence[Sentence]]) -> list[Evidence]:
    """The sentences that share most words with the question, as many as are compared by meaning."""
    sited: list[Evidence] = []
    for number, (passage, sentences) in enumerate(zip(passages, found, strict=True)):
        before = None
        for begin, end in [piece for each in sentences for piece in _pieces(each.begin, each.end)]:
            text = passage.content[begin:end]
            if count_words(text):
                # Only the one before: the others need not be kept.
                before = Evidence(number, begin, end, text, before and replace(before, before=None))
                sited.append(before)
    asked = terms(question)
    return sorted(sited, key=lambda each: -len(asked & terms(each.text)))[:_MAX_COMPARED]


def _pieces(begin: int, end: int) -> list[tuple[int, int]]:
    return [(at, min(at + _MAX_CHARACTERS, end)) for at in range(begin, end, _MAX_CHARACTERS)]
