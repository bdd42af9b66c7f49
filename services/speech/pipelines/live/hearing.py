"""The sound of one stream as far as it is still needed, and what happens in it."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from services.mesh.ports import SPEECH_WINDOW, SoundPiece
from services.speech.pipelines.live.endpoints import EndPointer, Happening, Rules, TurnEnded
from services.speech.pipelines.live.incoming import Due
from services.speech.pipelines.live.plan import ChangeLanguage, EndUtterance
from services.speech.pipelines.live.timeline import Timeline


class Hearing:
    """Keeps the utterance that runs and a little before it; bounded by the longest utterance and a piece."""

    def __init__(self, rules: Rules, timeline: Timeline, controls: deque[Due], *, turn_open: bool) -> None:
        """controls: in order; each is taken off when the sound before it was heard."""
        self._timeline = timeline
        self._controls = controls
        self.pointer = EndPointer(rules, begin=timeline.skipped, turn_open=turn_open)
        self._samples = np.empty(0, np.float32)
        self._first = 0
        self._windows = 0
        self._received = 0

    @property
    def heard(self) -> int:
        """Samples so far."""
        return self._first + len(self._samples)

    def samples(self, begin: int, end: int) -> NDArray[np.float32]:
        """A copy of what sounds there."""
        return self._samples[begin - self._first : end - self._first].copy()

    def hear(self, piece: SoundPiece) -> list[Happening | ChangeLanguage]:
        """The next piece; what happens in it, controls too. The samples of what ended are there until the next call."""
        needed = max(self._first, min(self.pointer.needed_from, self._windows * SPEECH_WINDOW, self.heard))
        kept, self._first = self._samples[needed - self._first :], needed
        self._samples = kept
        happened: list[Happening | ChangeLanguage] = []
        if not self._timeline.exact and self._controls and piece.bytes_received > self._controls[0].after_bytes:
            happened += self.control_now(piece.bytes_received - 1)
        self._samples = np.concatenate([kept, piece.samples])
        self._received = piece.bytes_received
        for probability in piece.speech.tolist():
            begin, end = self._windows * SPEECH_WINDOW, (self._windows + 1) * SPEECH_WINDOW
            happened += self._exact_controls(end)
            self._windows += 1
            if end > self._timeline.skipped:
                window = self._samples[begin - self._first : end - self._first]
                loudness = float(np.sqrt(np.mean(np.square(window)))) if len(window) else 0.0
                happened += self.pointer.hear(probability, loudness)
        return happened + self._exact_controls(self.heard)

    def control_due(self) -> bool:
        """Whether the sound before the next control was heard, as far as it can be without more sound."""
        if not self._controls:
            return False
        due = self._controls[0].after_bytes
        if self._timeline.exact:
            return self.heard >= self._timeline.sample(due) - self._timeline.kept_back
        return self._received >= due

    def control_now(self, received: int | None = None) -> list[Happening | ChangeLanguage]:
        """What the controls do here that came after so many bytes; None: the next one, and those at its place."""
        happened: list[Happening | ChangeLanguage] = []
        if received is None:
            received = self._controls[0].after_bytes
        while self._controls and self._controls[0].after_bytes <= received:
            happened += self._apply(self._controls.popleft(), self.heard)
        return happened

    def finish(self) -> list[Happening | ChangeLanguage]:
        """The end of the sound."""
        happened: list[Happening | ChangeLanguage] = []
        while self._controls:
            happened += self._apply(self._controls.popleft(), self.heard)
        return happened + list(self.pointer.finish(self.heard))

    def _exact_controls(self, until: int) -> list[Happening | ChangeLanguage]:
        happened: list[Happening | ChangeLanguage] = []
        if self._timeline.exact:
            while self._controls and (at := self._timeline.sample(self._controls[0].after_bytes)) <= until:
                happened += self._apply(self._controls.popleft(), min(at, self.heard))
        return happened

    def _apply(self, due: Due, at: int) -> list[Happening | ChangeLanguage]:
        control = due.control
        skipped = at < self._timeline.skipped
        if isinstance(control, ChangeLanguage):
            turn_ends = [TurnEnded(at)] if self.pointer.turn_open and not skipped else []
            return [*([] if skipped else self.pointer.finish(at)), *turn_ends, control]
        if skipped:
            # It did its work in the call before.
            return []
        if isinstance(control, EndUtterance):
            return [*self.pointer.finish(at), TurnEnded(at)]
        self.pointer.discard(at)
        return []
