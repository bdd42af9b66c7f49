"""The voice of a recording as a vector."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import SPEECH_WINDOW, AudioFormat, Inference, Preprocessor, SoundPiece
from services.mesh.together import each

LEAST_SPEECH_SECONDS = 1.0

_HERTZ = 16_000
_SAMPLES = AudioFormat("float32", _HERTZ, 1)
_CHUNK = 64 * 1024  # samples
# From this probability on a window is speech.
_SPEECH = 0.5
# So many windows before and after one that is speech are used with it, 0.1 s: its first and last sounds may be faint,
# and pauses of up to 0.2 s belong to speaking.
_BESIDE = 3
# Parts of one recording that are in Triton at the same time, so that a long one leaves room for others.
_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice as a vector float32[D] of length 1, and how much speech it was made of."""

    embedding: NDArray[np.float32]
    speech_seconds: float


class SpeakerEncoder:
    """Runs models with an input audio float32[T], 16 kHz, and an output embedding float32[D] of length 1.

    A card's preprocess.max_seconds says how much sound the model takes at once; the vectors of longer speech are meant.
    """

    def __init__(self, inference: Inference, preprocessor: Preprocessor) -> None:
        self._inference = inference
        self._preprocessor = preprocessor

    async def encode(self, content: bytes, card: ModelCard, *, field: str, deadline: Deadline) -> Voice:
        """The voice of the one who speaks in a recording.

        field: of the recording in the request, for example "audio.content", by which errors name it. Raises
        InvalidArgument when it is no recording or longer than ten minutes, FailedPrecondition with the reason
        TOO_LITTLE_SPEECH, and what inference raises.
        """
        samples = await self._samples(content, field, deadline)
        speaking = await self._speaking(samples, field, deadline)
        seconds = float(speaking.sum()) * SPEECH_WINDOW / _HERTZ
        if seconds < LEAST_SPEECH_SECONDS:
            raise errors.FailedPrecondition(
                f"{field}: takes a recording with at least {LEAST_SPEECH_SECONDS:g} second of speech, and this one has"
                f" {seconds:.2f}",
                reason="TOO_LITTLE_SPEECH",
                metadata={"field": field, "speech_seconds": f"{seconds:.2f}"},
            )
        speech = await asyncio.to_thread(only_speech, samples, speaking)
        most = int(card.preprocess["max_seconds"] * _HERTZ)
        # Parts of one length, so that each counts the same.
        parts = np.array_split(speech, -(-len(speech) // most))

        async def embed(part: NDArray[np.float32]) -> NDArray[np.float32]:
            arrays = await self._inference.infer(card.name, {"audio": part}, ["embedding"], deadline=deadline)
            return np.asarray(arrays["embedding"], np.float32)

        total = np.sum(await each(parts, embed, at_once=_AT_ONCE), axis=0)
        return Voice(total / np.linalg.norm(total), seconds)

    async def _samples(self, content: bytes, field: str, deadline: Deadline) -> NDArray[np.float32]:
        """All of the recording; preprocessing takes ten minutes at most."""
        try:
            return (
                await self._preprocessor.convert_audio(content, sample_rate_hertz=_HERTZ, deadline=deadline)
            ).samples
        except errors.InvalidArgument as error:
            raise errors.InvalidArgument.field(field, error.violations[0].description) from None

    async def _speaking(self, samples: NDArray[np.float32], field: str, deadline: Deadline) -> NDArray[np.bool_]:
        """Whether each window is speech."""
        events = self._preprocessor.stream_audio(
            _chunks(samples),
            _SAMPLES,
            sample_rate_hertz=_HERTZ,
            measure_speech=True,
            field=field,
            deadline=deadline,
        )
        async with aclosing(events):
            measured = [event.speech async for event in events if isinstance(event, SoundPiece)]
        speaking: NDArray[np.bool_] = np.concatenate([np.empty(0, np.float32), *measured]) >= _SPEECH
        return speaking


def similarity(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Cosine of two vectors of length 1, -1..1."""
    return float(np.clip(one @ other, -1, 1))


def only_speech(samples: NDArray[np.float32], speaking: NDArray[np.bool_]) -> NDArray[np.float32]:
    """What is said, with short pauses; speaking: of each window, of which the last may reach beyond the samples."""
    near = np.repeat(np.convolve(speaking, np.ones(2 * _BESIDE + 1), "same") > 0, SPEECH_WINDOW)
    both = min(len(samples), len(near))
    speech: NDArray[np.float32] = samples[:both][near[:both]]
    return speech


async def _chunks(samples: NDArray[np.float32]) -> AsyncIterator[bytes]:
    for start in range(0, len(samples), _CHUNK):
        yield samples[start : start + _CHUNK].tobytes()
