"""The two kinds of models that translate: those made for it, and language models that are asked to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from services.mesh.deadline import Deadline
from services.mesh.ports import Inference
from services.nlp.pipelines.generate import Generator, Message, Piece, Sampling, Usage
from services.nlp.pipelines.translation.pairs import Pair
from services.nlp.pipelines.translation.prompts import prompt

TASK = "translation"
# What a language model is given at once, and of what was before, in characters of the source.
_CHUNK = 400
_HISTORY = 800
# A sentence is translated alone; only one without an end is cut.
_SENTENCE = 500
# The same words again and again at the end of a text.
_LOOP = re.compile(r"(.{2,60}?)\1{4,}\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote. complete: whether it ended by itself."""

    text: str
    usage: Usage = field(default_factory=Usage)
    complete: bool = True


class Writer(Protocol):
    """A model with one text to translate.

    rows: chunks it takes at once. characters: of a chunk; sentences: whether each is a chunk of its own. masked:
    whether what is kept is always shown to it as numbers.
    """

    rows: int
    characters: int
    sentences: bool
    masked: bool

    async def write(self, sources: Sequence[str], deadline: Deadline, *, again: bool = False) -> list[Written]:
        """The translation of each. again: another way than before."""
        ...

    def remember(self, source: str, target: str) -> None:
        """What was translated last, as context of what follows."""
        ...


class SentenceModel:
    """A model of task translation: text bytes[N, 1] -> translation bytes[N, 1], one sentence a row."""

    sentences = True
    masked = True
    characters = _SENTENCE

    def __init__(self, inference: Inference, pair: Pair) -> None:
        self._inference = inference
        self._card = pair.card
        self.rows = pair.card.max_batch_size or 1

    async def write(
        self,
        sources: Sequence[str],
        deadline: Deadline,
        *,
        again: bool = False,  # noqa: ARG002 - it has one way
    ) -> list[Written]:
        """Each row by itself."""
        shape = (len(sources), 1) if self._card.max_batch_size else (1,)
        rows = np.array([source.encode() for source in sources], object).reshape(shape)
        answer = await self._inference.infer(self._card.name, {"text": rows}, ["translation"], deadline=deadline)
        return [Written(row.decode()) for row in answer["translation"].reshape(-1)]

    def remember(self, source: str, target: str) -> None:
        """It translates each sentence by itself."""


class LanguageModel:
    """A model of task text-generation, asked to translate; what it translated before is the conversation so far."""

    rows = 1
    characters = _CHUNK
    sentences = False
    masked = False

    def __init__(self, generator: Generator, pair: Pair) -> None:
        self._generator = generator
        self._pair = pair
        self._history: list[tuple[str, str]] = []

    async def write(self, sources: Sequence[str], deadline: Deadline, *, again: bool = False) -> list[Written]:
        """The one source. again: without context, and not always the likeliest word."""
        (source,) = sources
        pair = self._pair
        messages = [
            Message(role, content)
            for role, content in prompt(pair.source, pair.target, source, () if again else self._history)
        ]
        # At least two tokens for each Chinese character and one for two Latin letters, and some for what is kept.
        sampling = Sampling(max_tokens=48 + 2 * len(source), temperature=0.3 if again else 0.0, seed=1)
        written = ""
        last = Piece("")
        async with aclosing(self._generator.stream(messages, pair.card, sampling, deadline)) as pieces:
            async for last in pieces:
                written += last.text
                if _loops(written) and not _loops(source):
                    break
        return [Written(written, last.usage, complete=last.finish_reason == "stop")]

    def remember(self, source: str, target: str) -> None:
        """Grows to a bound and begins anew, so that the model has nearly always read most of it already."""
        self._history.append((source, target))
        if sum(len(source) for source, _ in self._history) > _HISTORY:
            self._history = self._history[-1:]


def _loops(text: str) -> bool:
    return _LOOP.search(text[-400:]) is not None
