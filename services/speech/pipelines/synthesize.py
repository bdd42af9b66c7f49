"""Speaks a text."""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import Inference

MAX_TEXT_BYTES = 2000
SLOWEST, FASTEST = 0.5, 2.0


@dataclass(frozen=True, slots=True)
class Speech:
    """Spoken text: samples int16[T], one channel."""

    samples: NDArray[np.int16]
    sample_rate_hertz: int
    voice: str

    @property
    def duration_seconds(self) -> float:
        """How long it sounds."""
        return len(self.samples) / self.sample_rate_hertz

    def to_linear16(self) -> bytes:
        """The samples alone, little-endian."""
        return self.samples.astype("<i2").tobytes()

    def to_wav(self) -> bytes:
        """A WAV file."""
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(self.sample_rate_hertz)
            file.writeframes(self.to_linear16())
        return buffer.getvalue()


class Synthesizer:
    """Runs models with inputs text, voice bytes[1], speaking_rate float32[1] and an output audio float32[T]."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference

    async def synthesize(
        self, text: str, card: ModelCard, *, voice: str, speaking_rate: float, deadline: Deadline
    ) -> Speech:
        """voice: one of the card's, or "" for its first. speaking_rate: 1 is normal, 0 means 1.

        Raises InvalidArgument for a text or a rate outside the limits, NotFound for an unknown voice.
        """
        size = len(text.encode())
        if not text.strip() or size > MAX_TEXT_BYTES:
            raise errors.InvalidArgument.field(
                "text", f"takes 1 to {MAX_TEXT_BYTES} UTF-8 bytes that are not all blank, got {size}"
            )
        rate = speaking_rate or 1.0
        if not SLOWEST <= rate <= FASTEST:
            raise errors.InvalidArgument.field("speaking_rate", f"takes {SLOWEST:g} to {FASTEST:g}, got {rate:g}")
        voices: list[str] = list(card.preprocess["voices"])
        if voice and voice not in voices:
            raise errors.NotFound.named("voice", voice, voices)
        voice = voice or voices[0]
        arrays = await self._inference.infer(
            card.name,
            {
                "text": np.array([text.encode()], dtype=object),
                "voice": np.array([voice.encode()], dtype=object),
                "speaking_rate": np.array([rate], dtype=np.float32),
            },
            ["audio"],
            deadline=deadline,
        )
        loudest = np.iinfo(np.int16).max
        samples = (np.clip(arrays["audio"], -1, 1) * loudest).astype(np.int16)
        return Speech(samples, card.preprocess["sample_rate_hertz"], voice)
