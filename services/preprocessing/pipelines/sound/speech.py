"""How much each moment of a stream sounds like speech, by a model that runs while the sound comes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services.mesh.deadline import Deadline
from services.mesh.ports import SPEECH_WINDOW, Inference

TASK = "voice-activity-detection"
SAMPLE_RATE_HERTZ = 16_000

# The model hears so many samples before each window too.
_CONTEXT = 64
_STATE = (2, 1, 128)


class SpeechMeter:
    """Measures one stream of 16,000 samples a second.

    The model has inputs audio float32[64 + 512 N] and state float32[2, 1, 128], and outputs probabilities float32[N]
    and state; what it must remember is kept here, so that any instance of it may take the next piece.
    """

    def __init__(self, inference: Inference, model: str) -> None:
        self._inference = inference
        self._model = model
        self._state: NDArray[np.float32] = np.zeros(_STATE, np.float32)
        self._context: NDArray[np.float32] = np.zeros(_CONTEXT, np.float32)
        self._rest: NDArray[np.float32] = np.empty(0, np.float32)

    async def measure(self, samples: NDArray[np.float32], deadline: Deadline) -> NDArray[np.float32]:
        """The probability of speech, 0..1, of each window that these samples complete: one call, or none."""
        samples = np.concatenate([self._rest, samples])
        whole = len(samples) // SPEECH_WINDOW * SPEECH_WINDOW
        self._rest = samples[whole:]
        if not whole:
            return np.empty(0, np.float32)
        audio = np.concatenate([self._context, samples[:whole]])
        answer = await self._inference.infer(
            self._model, {"audio": audio, "state": self._state}, ["probabilities", "state"], deadline=deadline
        )
        self._context = audio[-_CONTEXT:]
        self._state = answer["state"]
        return np.asarray(answer["probabilities"], np.float32)

    async def finish(self, deadline: Deadline) -> NDArray[np.float32]:
        """The probability of the last window, if one is left, filled with silence."""
        missing = -len(self._rest) % SPEECH_WINDOW
        return await self.measure(np.zeros(missing, np.float32), deadline)
