"""Takes noise out of a stream of speech, by a model that runs while the sound comes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.mesh.deadline import Deadline
from services.mesh.ports import Inference, SoundEvent, SoundPiece

TASK = "speech-enhancement"
SAMPLE_RATE_HERTZ = 16_000

# The model takes so many samples at a time, and gives those of a moment so much later.
_HOP = 128
_DELAY = 384
_STATE = (2048,)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The next samples: int16[T], one channel, 16,000 a second."""

    samples: NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class DenoiseEnd:
    """The end of a stream: its length, and the model that answered."""

    duration_seconds: float
    model: str


DenoiseEvent = Cleaned | DenoiseEnd


class Denoiser:
    """Cleans one stream.

    The model has inputs audio float32[128 N] and state float32[2048], and outputs of the same names and shapes.
    """

    def __init__(self, inference: Inference, model: str) -> None:
        self._inference = inference
        self.model = model
        self._state: NDArray[np.float32] = np.zeros(_STATE, np.float32)
        self._rest: NDArray[np.float32] = np.empty(0, np.float32)
        self._early = _DELAY  # samples that come out before the first one that went in

    async def clean(self, samples: NDArray[np.float32], deadline: Deadline) -> NDArray[np.float32]:
        """The samples that can be told by now, which are some milliseconds behind those given: one call, or none."""
        samples = np.concatenate([self._rest, samples])
        whole = len(samples) // _HOP * _HOP
        self._rest = samples[whole:]
        if not whole:
            return np.empty(0, np.float32)
        inputs = {"audio": samples[:whole], "state": self._state}
        answer = await self._inference.infer(self.model, inputs, ["audio", "state"], deadline=deadline)
        self._state = answer["state"]
        early = min(self._early, whole)
        self._early -= early
        return np.asarray(answer["audio"][early:], np.float32)

    async def finish(self, deadline: Deadline) -> NDArray[np.float32]:
        """The samples that are still missing."""
        left = len(self._rest) + _DELAY - self._early
        silence = _DELAY + -(len(self._rest) + _DELAY) % _HOP
        return (await self.clean(np.zeros(silence, np.float32), deadline))[:left]


async def denoise(
    events: AsyncGenerator[SoundEvent, None], denoiser: Denoiser, deadline: Deadline
) -> AsyncGenerator[DenoiseEvent, None]:
    """A stream of 16,000 samples a second without noise and as long as it was, DenoiseEnd last."""
    async for event in events:
        if isinstance(event, SoundPiece):
            samples = await denoiser.clean(event.samples, deadline)
        else:
            samples = await denoiser.finish(deadline)
        if len(samples):
            yield Cleaned(np.clip(np.rint(samples * 32767), -32768, 32767).astype(np.int16))
        if not isinstance(event, SoundPiece):
            yield DenoiseEnd(event.duration_seconds, denoiser.model)
