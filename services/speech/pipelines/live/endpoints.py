"""Tells from probabilities of speech where utterances begin and end, and where a speaker has finished.

Time is counted in samples, 16,000 a second; windows follow each other from sample 0.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from services.mesh.ports import SPEECH_WINDOW
from services.speech.pipelines.recognition.transcriber import SAMPLE_RATE_HERTZ

# What is heard before the first window of speech: soft consonants begin there.
PRE_ROLL = 10 * SPEECH_WINDOW
# What is heard after the last one.
_TAIL = 8 * SPEECH_WINDOW
# After so much silence the utterance may be over.
PAUSE = 10 * SPEECH_WINDOW
# Somebody speaks when so many of the last windows are speech; a click fills two or three. When a control ends the
# utterance, or the sound does, fewer are enough: nobody presses a button to say nothing.
_ONSET, _ONSET_OF, _ONSET_FORCED = 5, 8, 2
# Speech goes on down to a probability that much below the one at which it begins.
_HYSTERESIS = 0.15
# Shorter pauses are parts of words.
_PAUSE_WINDOWS = 2


@dataclass(frozen=True, slots=True)
class Rules:
    """When an utterance ends; in seconds but for the threshold, a probability."""

    utterance_silence: float = 0.6
    turn_silence: float = 1.2
    maximum_utterance: float = 20.0
    threshold: float = 0.5


@dataclass(frozen=True, slots=True)
class Span:
    """An utterance: its sound from begin to end, and the speech in it."""

    begin: int
    end: int
    speech_begin: int
    speech_end: int


@dataclass(frozen=True, slots=True)
class Begun:
    """Somebody began to speak."""

    at: int


@dataclass(frozen=True, slots=True)
class Paused:
    """The utterance is this if the silence goes on."""

    span: Span


@dataclass(frozen=True, slots=True)
class Ended:
    """The utterance is over. silent: whether nobody speaks any more; otherwise the next one begins where it ends."""

    span: Span
    silent: bool


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The speaker has finished."""

    at: int


Happening = Begun | Paused | Ended | TurnEnded


class EndPointer:
    """Hears one window after the other. Bounded by the longest utterance."""

    def __init__(self, rules: Rules, *, begin: int = 0, turn_open: bool = False) -> None:
        """begin: what lies before is accounted for. turn_open: whether somebody spoke there and may go on."""
        self._threshold = rules.threshold
        self._release = max(rules.threshold - _HYSTERESIS, rules.threshold / 2)
        self._utterance_silence = _samples(rules.utterance_silence)
        self._turn_silence = _samples(rules.turn_silence)
        self._maximum = _samples(rules.maximum_utterance)
        self._tail = min(_TAIL, self._utterance_silence)
        self.now = begin // SPEECH_WINDOW * SPEECH_WINDOW
        self._floor = begin
        self._turn_from = begin if turn_open else None
        self._recent: deque[bool] = deque(maxlen=_ONSET_OF)
        # Of the utterance that runs: where its sound and its speech begin, where speech was last heard, its windows.
        self._begin: int | None = None
        self._speech_begin = self._last_speech = begin
        self._paused = False
        self._windows: deque[tuple[float, float]] = deque(maxlen=self._maximum // SPEECH_WINDOW + 1)

    @property
    def begin(self) -> int | None:
        """Where the sound of the utterance begins that runs."""
        return self._begin

    @property
    def turn_open(self) -> bool:
        """Whether somebody speaks, or spoke and may go on."""
        return self._begin is not None or self._turn_from is not None

    @property
    def needed_from(self) -> int:
        """What lies before is not asked for any more."""
        if self._begin is not None:
            return self._begin
        return max(self._floor, self._onset() - PRE_ROLL)

    @property
    def accounted(self) -> int:
        """What lies before is in an utterance that ended, or is silence. It waits there while the turn may end."""
        return self._floor if self._begin is None and self._turn_from is not None else self.needed_from

    def hear(self, probability: float, loudness: float) -> list[Happening]:
        """The next window; what happens by it."""
        self.now += SPEECH_WINDOW
        self._windows.append((probability, loudness))
        return self._listen(probability) if self._begin is None else self._follow(self._begin, probability)

    def finish(self, at: int) -> list[Happening]:
        """End the utterance here, if one runs or has just begun; and the turn, without saying so."""
        happened: list[Happening] = []
        if self._begin is None and sum(self._recent) >= _ONSET_FORCED:
            happened += self._start()
        if self._begin is not None:
            happened.append(self._end(self._begin, min(at, self._last_speech + self._tail), silent=True))
        self.discard(at)
        self._turn_from = None
        return happened

    def discard(self, at: int) -> None:
        """Forget the utterance that runs, and its turn; what lies before is accounted for."""
        self._begin = None
        self._floor = at
        self._recent.clear()

    def _listen(self, probability: float) -> list[Happening]:
        self._recent.append(probability >= self._threshold)
        if sum(self._recent) >= _ONSET:
            return self._start()
        since = self._turn_from
        if since is None or any(self._recent) or self.now - since < self._turn_silence:
            return []
        self._turn_from = None
        return [TurnEnded(since + self._turn_silence)]

    def _start(self) -> list[Happening]:
        self._speech_begin = max(self._floor, self._onset())
        self._begin = max(self._floor, self._speech_begin - PRE_ROLL)
        self._last_speech = self.now
        self._paused = False
        self._turn_from = None
        self._recent.clear()
        return [Begun(self._speech_begin)]

    def _onset(self) -> int:
        """Where the first of the recent windows begins that is speech."""
        if True not in self._recent:
            return self.now
        return self.now - (len(self._recent) - self._recent.index(True)) * SPEECH_WINDOW

    def _follow(self, begin: int, probability: float) -> list[Happening]:
        if probability >= self._release:
            self._last_speech = self.now
            self._paused = False
        silence = self.now - self._last_speech
        if silence >= self._utterance_silence:
            return [self._end(begin, self._last_speech + self._tail, silent=True), *self._listen(probability)]
        if self.now - begin >= self._maximum:
            # A pause at the very end needs no search, and what would follow it is no speech.
            if silence >= _PAUSE_WINDOWS * SPEECH_WINDOW:
                return [self._end(begin, min(self.now, self._last_speech + self._tail), silent=True)]
            return [self._end(begin, self._cut(begin), silent=False)]
        if silence >= PAUSE and not self._paused:
            self._paused = True
            end = self._last_speech + self._tail
            return [Paused(Span(begin, end, self._speech_begin, self._last_speech))]
        return []

    def _end(self, begin: int, end: int, *, silent: bool) -> Ended:
        span = Span(begin, end, self._speech_begin, self._last_speech if silent else end)
        self._floor = end
        if silent:
            self._begin = None
            self._turn_from = self._last_speech
        else:
            self._begin = self._speech_begin = end
            self._paused = False
        return Ended(span, silent)

    def _cut(self, begin: int) -> int:
        """The middle of the longest pause in the last third, or of the quietest moment where there is none."""
        first = -(-(begin + self._maximum * 2 // 3) // SPEECH_WINDOW)
        last = self.now // SPEECH_WINDOW
        # Never at the last window: what follows would begin in the middle of a sound.
        windows = list(self._windows)[first - last : -1]
        longest, run = (0, 0), 0
        for index, (probability, _) in enumerate(windows):
            run = run + 1 if probability < self._release else 0
            longest = max(longest, (run, index + 1))
        length, end = longest
        if length >= _PAUSE_WINDOWS:
            return (first + end) * SPEECH_WINDOW - length * SPEECH_WINDOW // 2
        loudness = [loudness for _, loudness in windows]
        quietest = min(range(len(windows)), key=lambda index: sum(loudness[max(0, index - 1) : index + 2]))
        return (first + quietest) * SPEECH_WINDOW + SPEECH_WINDOW // 2


def _samples(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE_HERTZ)
