"""When a wake word was said."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard, Models
from services.mesh.ports import Inference

WAKE_WORDS = "wake-word-detection"
SAMPLE_RATE_HERTZ = 16_000
# The model begins anew with each window: so long a word may last, with what it needs before.
WINDOW = 2 * SAMPLE_RATE_HERTZ
# How often a stream is searched.
STEP = SAMPLE_RATE_HERTZ // 2
# Windows overlap: one word is found in several of them.
_PAUSE = 3 * SAMPLE_RATE_HERTZ // 2


@dataclass(frozen=True)
class WakeWord:
    """A word that must come before each command, and the model that knows it."""

    name: str
    card: ModelCard


def wake_word(models: Models, name: str) -> WakeWord:
    """The wake word of that name. Raises NotFound, listing those that exist, and what picking a model raises."""
    cards = [models.pick(WAKE_WORDS, ""), *models.listing(WAKE_WORDS)]
    for card in cards:
        if name in card.labels:
            return WakeWord(name, card)
    raise errors.NotFound.named("wake word", name, sorted({label for card in cards for label in card.labels}))


class WakeWordListener:
    """Searches a sound that goes on for one word. It keeps no sound, only where the word was found last."""

    def __init__(self, inference: Inference, word: WakeWord) -> None:
        self._inference = inference
        self._word = word
        self._last = -_PAUSE

    async def search(self, samples: NDArray[np.float32], first: int, deadline: Deadline) -> list[int]:
        """Where the word ends that is said in samples float32[T], which begin at sample `first` of the sound.

        A word that was found before is not found again. Raises what inference raises.
        """
        inputs = {"audio": samples, "word": np.array([self._word.name.encode()], np.object_)}
        arrays = await self._inference.infer(self._word.card.name, inputs, ["result"], deadline=deadline)
        found: list[int] = []
        for detection in json.loads(arrays["result"][0])["detections"]:
            end = first + round(detection["end"] * SAMPLE_RATE_HERTZ)
            if end - self._last >= _PAUSE:
                found.append(end)
            self._last = max(self._last, end)
        return found
