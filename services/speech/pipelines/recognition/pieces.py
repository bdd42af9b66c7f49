"""Cuts sound into pieces that a recognition model takes at once, where nobody speaks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.mesh.ports import SPEECH_WINDOW
from services.speech.pipelines.recognition.transcriber import SAMPLE_RATE_HERTZ

_WINDOWS_PER_SECOND = SAMPLE_RATE_HERTZ / SPEECH_WINDOW
# From which probability on somebody speaks; lower than for live speech, since a missed word costs more than a breath.
_SPEECH = 0.4
# Kept around speech, so that no consonant is lost.
_MARGIN = round(0.3 * _WINDOWS_PER_SECOND)
# A piece ends at a silence that is so long, or that is shorter when the piece has a good length.
_SILENCE, _SHORT_SILENCE = round(1.5 * _WINDOWS_PER_SECOND), round(0.5 * _WINDOWS_PER_SECOND)
_GOOD_LENGTH = round(10.0 * _WINDOWS_PER_SECOND)


@dataclass(frozen=True, slots=True)
class Piece:
    """Samples float32[T] of a stretch with speech, 16 kHz mono, and when it begins, in seconds."""

    samples: NDArray[np.float32]
    offset_seconds: float


class Cutter:
    """Holds the piece that is being collected, `max_seconds` at most, and a second of what comes after it."""

    def __init__(self, max_seconds: float) -> None:
        self._longest = round(max_seconds * _WINDOWS_PER_SECOND)
        # Whole windows, and what came of the next one.
        self._windows: list[NDArray[np.float32]] = []
        self._begun = np.empty(0, np.float32)
        self._probabilities: list[float] = []
        self._dropped = 0  # windows before those held

    @property
    def held_seconds(self) -> float:
        """Of sound that is in no piece yet."""
        return len(self._windows) / _WINDOWS_PER_SECOND + len(self._begun) / SAMPLE_RATE_HERTZ

    def take(self, samples: NDArray[np.float32], speech: NDArray[np.float32]) -> Iterator[Piece]:
        """The pieces that end in what comes. samples: those that follow; speech: the probability of each window."""
        samples = np.concatenate([self._begun, samples])
        whole = len(samples) // SPEECH_WINDOW * SPEECH_WINDOW
        self._windows += list(samples[:whole].reshape(-1, SPEECH_WINDOW))
        self._begun = samples[whole:]
        for probability in speech:
            self._probabilities.append(float(probability))
            yield from self._step()

    def rest(self) -> Iterator[Piece]:
        """The last piece, if anybody speaks in it."""
        windows = len(self._probabilities)
        silent = self._silent_windows(windows)
        if silent <= _MARGIN and silent < windows:
            self._windows.append(self._begun)
            yield self._cut(len(self._windows))
        elif silent < windows:
            yield self._cut(windows - silent + _MARGIN)

    def _step(self) -> Iterator[Piece]:
        windows = len(self._probabilities)
        if self._probabilities[-1] < _SPEECH:
            silent = self._silent_windows(windows)
            if silent == windows:
                self._drop(windows - _MARGIN)
            elif silent >= _SILENCE or (silent >= _SHORT_SILENCE and windows - silent >= _GOOD_LENGTH):
                yield self._cut(windows - silent + _MARGIN)
                return
        if len(self._probabilities) >= self._longest:
            yield self._cut(self._quietest())

    def _silent_windows(self, windows: int) -> int:
        """How many windows before the last one, and with it, nobody speaks in."""
        silent = 0
        while silent < windows and self._probabilities[windows - 1 - silent] < _SPEECH:
            silent += 1
        return silent

    def _quietest(self) -> int:
        """The middle of the longest silence in the second half; if there is none, where speech is least probable."""
        windows = len(self._probabilities)
        longest, place = 0, 0
        run = 0
        for index in range(windows // 2, windows):
            run = 0 if self._probabilities[index] >= _SPEECH else run + 1
            if run > longest:
                longest, place = run, index - run // 2
        if longest:
            return max(1, place)
        # The last window may be cut short by the end of the sound, and is not kept then.
        windows = min(windows, len(self._windows))
        half = np.array(self._probabilities[windows // 2 : windows])
        energies = np.square(self._windows[windows // 2 : windows]).mean(1)
        # All sound like speech: the faintest of those that do so least.
        least = half <= np.quantile(half, 0.2)
        return max(1, windows // 2 + int(np.argmin(np.where(least, energies, np.inf))))

    def _cut(self, windows: int) -> Piece:
        piece = Piece(np.concatenate(self._windows[:windows]), self._dropped / _WINDOWS_PER_SECOND)
        self._drop(windows)
        return piece

    def _drop(self, windows: int) -> None:
        if windows > 0:
            del self._windows[:windows], self._probabilities[:windows]
            self._dropped += windows
