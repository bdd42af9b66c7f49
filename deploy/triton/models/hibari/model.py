"""Speech synthesis with hibari-tts: English text of any number of sentences -> 24 kHz audio."""

# ruff: noqa: INP001 - Triton loads this file by its path, not as part of a package
from __future__ import annotations

from pathlib import Path

import numpy as np
from hibari import Hibari
from hibari.voices import DEFAULT
from numpy.typing import NDArray

from deploy.triton.speaking import SpeakingModel

# The same text gives the same audio: the noise in it is drawn from this seed.
SEED = 0


class TritonPythonModel(SpeakingModel):
    """The one voice whose weights are inside the package; the others would be downloaded."""

    voices = (DEFAULT,)

    def load(self, folder: Path, options: dict[str, str]) -> None:  # noqa: ARG002 - all is in the package
        """Load the voice and the rules of pronunciation, which otherwise load at the first use."""
        self._speaker = Hibari(voice=DEFAULT, threads=1)
        self._speaker("Ready.", seed=SEED)

    def speak(self, text: str, *, voice: str, language: str, rate: float) -> NDArray[np.float32]:  # noqa: ARG002 - it has one
        """All sentences, one after the other."""
        audio: NDArray[np.float32] = self._speaker(text, speed=rate, seed=SEED)
        return audio
