"""Writes down what a piece of sound says, by a model of the task speech-recognition."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import Inference

SAMPLE_RATE_HERTZ = 16_000
# What the model takes at once; longer sound is cut before.
MAX_PIECE_SECONDS = 30.0

# Writing without spaces between words: kana, Chinese characters, their punctuation and full-width forms, Thai.
_SPACELESS = re.compile(r"[\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\u0e00-\u0e7f]")
Timed = TypeVar("Timed", "Word", "Segment")


class Word(BaseModel):
    """One word with the punctuation that belongs to it, its probability, and when it was spoken, in seconds."""

    model_config = ConfigDict(frozen=True)

    word: str
    start: float
    end: float
    confidence: float


class Alternative(BaseModel):
    """Another way in which a segment may be read, and the geometric mean of the probabilities of its tokens."""

    model_config = ConfigDict(frozen=True)

    text: str
    confidence: float


class Segment(BaseModel):
    """A piece of speech, usually a sentence; times in seconds from the first sample. Words only if they were wanted."""

    model_config = ConfigDict(frozen=True)

    text: str
    start: float
    end: float
    confidence: float
    words: tuple[Word, ...] = ()
    alternatives: tuple[Alternative, ...] = ()

    def later(self, seconds: float) -> Segment:
        """The same on a clock that began so much earlier."""
        return _moved(self, seconds, words=tuple(_moved(word, seconds) for word in self.words))


class Transcript(BaseModel):
    """What a recognition model answers, as JSON in its one output.

    language_probability: 1 when the language was given. language_probabilities: of those that come into question, when
    it had to be found out. No speech: no segments, and with no language given "" and 0.
    """

    model_config = ConfigDict(frozen=True)

    language: str
    language_probability: float
    duration: float
    segments: tuple[Segment, ...]
    language_probabilities: Mapping[str, float] = {}

    @property
    def text(self) -> str:
        """All that was said."""
        return joined(segment.text for segment in self.segments)


def joined(texts: Iterable[str]) -> str:
    """Texts one after the other, with a space between them where their writing has spaces."""
    whole = ""
    for text in filter(None, texts):
        spaceless = not whole or (_SPACELESS.match(whole[-1]) and _SPACELESS.match(text))
        whole += text if spaceless else f" {text}"
    return whole


class Transcriber:
    """Runs models with inputs audio float32[T] and options bytes[1]: JSON; their output is a Transcript as JSON."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference

    async def transcribe(
        self,
        samples: NDArray[np.float32],
        card: ModelCard,
        *,
        language: str,
        word_times: bool = False,
        hints: Sequence[str] = (),
        context: str = "",
        alternatives: int = 0,
        quick: bool = False,
        deadline: Deadline,
    ) -> Transcript:
        """What samples float32[T] say, 16 kHz mono, at most 30 s.

        language: one of the card's, or "" to find out. hints: words made likelier. context: what was said before.
        alternatives: other readings wanted of each segment. quick: an interim reading, which must be there soon.
        """
        options = {
            "language": language,
            "word_times": word_times,
            "hints": list(hints),
            "context": context,
            "alternatives": alternatives,
            "quick": quick,
        }
        inputs = {
            "audio": samples,
            "options": np.array([json.dumps(options, ensure_ascii=False).encode()], dtype=object),
        }
        arrays = await self._inference.infer(card.name, inputs, ["result"], deadline=deadline)
        return Transcript.model_validate_json(arrays["result"].flat[0])


def _moved(timed: Timed, seconds: float, **changes: object) -> Timed:
    return timed.model_copy(update={"start": timed.start + seconds, "end": timed.end + seconds, **changes})
