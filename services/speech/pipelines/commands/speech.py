"""A recording or a stream as samples, and where in it somebody speaks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.ports import SPEECH_WINDOW, AudioFormat, Preprocessor, SoundPiece
from services.speech.pipelines.commands.recognizer import MAX_SECONDS, SAMPLE_RATE_HERTZ

_CHUNK_BYTES = 256 * 1024
# From this probability on a window is speech; fewer windows are a click.
_SPEECH, _LEAST_WINDOWS = 0.5, 3
# What is heard with speech: its first and last sounds may be faint.
_BEFORE, _AFTER = 10 * SPEECH_WINDOW, 8 * SPEECH_WINDOW


@dataclass(frozen=True)
class Recording:
    """samples float32[T], 16 kHz, and the probability of speech of each window of 512, float32[N]."""

    samples: NDArray[np.float32]
    speech: NDArray[np.float32]

    def spoken(self, first: int = 0) -> tuple[int, int] | None:
        """From where to where somebody speaks after a sample, in samples; None when nobody does."""
        window = -(-first // SPEECH_WINDOW)
        speaking = np.flatnonzero(self.speech[window:] >= _SPEECH) + window
        if len(speaking) < _LEAST_WINDOWS:
            return None
        begin = max(first, int(speaking[0]) * SPEECH_WINDOW - _BEFORE)
        return begin, min(len(self.samples), int(speaking[-1] + 1) * SPEECH_WINDOW + _AFTER)


async def decoded(content: bytes, preprocessor: Preprocessor, *, field: str, deadline: Deadline) -> Recording:
    """A recording of at most 30 s. Raises InvalidArgument naming `field`, and what preprocessing raises."""
    pieces: list[SoundPiece] = []
    samples = 0
    events = preprocessor.stream_audio(
        _chunks(content),
        AudioFormat(),
        sample_rate_hertz=SAMPLE_RATE_HERTZ,
        measure_speech=True,
        field=field,
        deadline=deadline,
    )
    async with aclosing(events):
        async for event in events:
            if isinstance(event, SoundPiece):
                samples += len(event.samples)
                if samples > MAX_SECONDS * SAMPLE_RATE_HERTZ:
                    raise errors.InvalidArgument.field(field, f"takes a recording of at most {MAX_SECONDS:g} seconds")
                pieces.append(event)
    nothing = [np.empty(0, np.float32)]
    return Recording(
        np.concatenate([piece.samples for piece in pieces] or nothing),
        np.concatenate([piece.speech for piece in pieces] or nothing),
    )


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    for begin in range(0, len(content), _CHUNK_BYTES):
        yield content[begin : begin + _CHUNK_BYTES]
