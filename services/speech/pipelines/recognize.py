"""Writes down what a recording says."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import Inference, Preprocessor


class Word(BaseModel):
    """One word, its probability, and when it was spoken, in seconds from the start."""

    model_config = ConfigDict(frozen=True)

    word: str
    start: float
    end: float
    confidence: float


class Segment(BaseModel):
    """A piece of speech."""

    model_config = ConfigDict(frozen=True)

    text: str
    start: float
    end: float
    confidence: float
    words: tuple[Word, ...] = ()


class Transcript(BaseModel):
    """What a recognition model answers, as JSON in its one output."""

    model_config = ConfigDict(frozen=True)

    language: str
    language_probability: float
    duration: float
    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        """All that was said."""
        return " ".join(segment.text for segment in self.segments)


class Recognizer:
    """Runs models with inputs audio float32[T], language bytes[1], word_times bool[1] and an output result bytes[1]."""

    def __init__(self, inference: Inference, preprocessor: Preprocessor) -> None:
        self._inference = inference
        self._preprocessor = preprocessor

    async def recognize(
        self, content: bytes, card: ModelCard, *, language: str, word_times: bool, deadline: Deadline
    ) -> Transcript:
        """language: one of the card's, or "" to let the model find out."""
        sound = await self._preprocessor.convert_audio(
            content, sample_rate_hertz=card.preprocess["sample_rate_hertz"], deadline=deadline
        )
        arrays = await self._inference.infer(
            card.name,
            {
                "audio": sound.samples,
                "language": np.array([language.encode()], dtype=object),
                "word_times": np.array([word_times]),
            },
            ["result"],
            deadline=deadline,
        )
        return Transcript.model_validate_json(arrays["result"].flat[0])
