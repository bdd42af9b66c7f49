"""Pieces of speech from the probability of speech of each moment.

With two thresholds and a shortest silence, as Silero's own get_speech_timestamps finds them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from services.mesh.ports import SPEECH_WINDOW

_WINDOW_SECONDS = SPEECH_WINDOW / 16_000
# Speech goes on until it is so much less probable than where it began.
_HYSTERESIS = 0.15
_LOWEST_THRESHOLD = 0.01


@dataclass(frozen=True, slots=True)
class Detection:
    """How speech is told from the rest; see maas.preprocessing.v1.DetectSpeechConfig."""

    threshold: float = 0.5
    min_silence_seconds: float = 0.5
    min_speech_seconds: float = 0.25
    padding_seconds: float = 0.1


@dataclass(frozen=True, slots=True)
class SpeechStart:
    """Somebody begins to speak."""

    offset_seconds: float


@dataclass(frozen=True, slots=True)
class Speech:
    """A piece of speech that has ended. confidence: mean probability of speech in it, 0..1."""

    start_seconds: float
    end_seconds: float
    confidence: float


class Segmenter:
    """Finds the pieces of one stream, in order and without overlap.

    A piece is told when its padding has passed too; when speech begins within it, the padding is shorter.
    """

    def __init__(self, wanted: Detection) -> None:
        self._wanted = wanted
        self._leaving = max(wanted.threshold - _HYSTERESIS, min(_LOWEST_THRESHOLD, wanted.threshold))
        self._now = 0  # in windows
        self._begun: int | None = None
        self._announced: float | None = None  # where the piece starts, once it is long enough
        self._silent_since: int | None = None
        self._sum = 0.0
        self._sum_before_silence = 0.0
        self._ended: Speech | None = None  # waits for its padding
        self._last_end = 0.0

    def feed(self, probabilities: Iterable[float]) -> list[SpeechStart | Speech]:
        """What these windows tell."""
        told: list[SpeechStart | Speech] = []
        for each in probabilities:
            told += self._window(float(each))
        return told

    def finish(self, duration_seconds: float) -> list[SpeechStart | Speech]:
        """What is left when the sound ends."""
        if self._begun is not None:
            self._leave(self._now if self._silent_since is None else self._silent_since)
        return self._settle(duration_seconds)

    def _window(self, probability: float) -> list[SpeechStart | Speech]:
        begin = self._now
        self._now += 1
        told: list[SpeechStart | Speech] = []
        if self._begun is None:
            if probability >= self._wanted.threshold:
                self._begun, self._sum = begin, 0.0
        elif probability >= self._wanted.threshold:
            self._silent_since = None
        elif probability < self._leaving and self._silent_since is None:
            self._silent_since, self._sum_before_silence = begin, self._sum
        self._sum += probability
        if self._begun is None:
            return self._settle_padded()
        if self._silent_since is None:
            told += self._announce(self._now)
        elif _seconds(self._now - self._silent_since) >= self._wanted.min_silence_seconds:
            self._leave(self._silent_since)
        return [*told, *self._settle_padded()]

    def _announce(self, end: int) -> list[SpeechStart | Speech]:
        """Tell that somebody speaks, once that is certain."""
        if self._begun is None or self._announced is not None:
            return []
        if _seconds(end - self._begun) < self._wanted.min_speech_seconds:
            return []
        begun = _seconds(self._begun)
        told = self._settle(begun)
        self._announced = max(begun - self._wanted.padding_seconds, self._last_end)
        return [*told, SpeechStart(self._announced)]

    def _leave(self, end: int) -> None:
        """The speech ended there."""
        begun, start = self._begun, self._announced
        total = self._sum if self._silent_since is None else self._sum_before_silence
        self._begun = self._announced = self._silent_since = None
        if begun is not None and start is not None:
            padded = _seconds(end) + self._wanted.padding_seconds
            self._ended = Speech(start, padded, min(total / (end - begun), 1.0))

    def _settle_padded(self) -> list[SpeechStart | Speech]:
        """The piece that waits, if its padding has passed and no speech may have begun in it."""
        if self._ended is None or self._begun is not None or _seconds(self._now) < self._ended.end_seconds:
            return []
        return self._settle(self._ended.end_seconds)

    def _settle(self, latest: float) -> list[SpeechStart | Speech]:
        """The piece that waits, which ends there at the latest."""
        ended, self._ended = self._ended, None
        if ended is None:
            return []
        self._last_end = min(ended.end_seconds, latest)
        return [Speech(ended.start_seconds, self._last_end, ended.confidence)]


def _seconds(windows: int) -> float:
    return windows * _WINDOW_SECONDS
