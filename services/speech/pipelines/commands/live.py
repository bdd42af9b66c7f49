"""Commands in sound that goes on, one after the other, after a wake word if there must be one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.ports import SPEECH_WINDOW, Preprocessor, SoundEnd, SoundPiece
from services.speech.pipelines.commands.plan import Answer, CommandPlan, End, NoCommand, Speech, Unrecognized, Woken
from services.speech.pipelines.commands.recognizer import SAMPLE_RATE_HERTZ, CommandRecognizer
from services.speech.pipelines.commands.wake import STEP, WINDOW, WakeWordListener
from services.speech.pipelines.live.endpoints import Begun, Ended, EndPointer, Happening, Rules, Span

# Nobody says a longer command; what is longer is cut, and is none.
_LONGEST_SECONDS = 20.0
# So long a command is listened for after the wake word.
_PATIENCE = 8 * SAMPLE_RATE_HERTZ
# What ends so soon after the wake word is its last sound.
_ECHO = 2 * SAMPLE_RATE_HERTZ // 5


async def listen(
    plan: CommandPlan,
    chunks: AsyncIterator[bytes],
    recognizer: CommandRecognizer,
    preprocessor: Preprocessor,
    deadline: Deadline,
) -> AsyncGenerator[Answer, None]:
    """What happens in a stream of sound, in order; the last answer is End.

    Raises what preprocessing and inference raise, and Unavailable with the reason DRAINING when the server stops and
    nobody is in the middle of a command.
    """
    stream = _Stream(plan, recognizer, deadline)
    events = preprocessor.stream_audio(
        chunks,
        plan.audio_format,
        sample_rate_hertz=SAMPLE_RATE_HERTZ,
        measure_speech=True,
        field="audio_content",
        deadline=deadline,
    )
    async with aclosing(events):
        async for event in events:
            if isinstance(event, SoundPiece):
                async for answer in stream.hear(event):
                    yield answer
            elif isinstance(event, SoundEnd):
                async for answer in stream.finish():
                    yield answer
                yield End(event.duration_seconds)
                return
            if recognizer.draining and not stream.busy:
                raise errors.Unavailable.draining("this server stops: go on with another one")


class _Stream:
    """One stream: its sound as far as it is needed, and what it waits for. Bounded by the longest utterance."""

    def __init__(self, plan: CommandPlan, recognizer: CommandRecognizer, deadline: Deadline) -> None:
        self._plan = plan
        self._recognizer = recognizer
        self._deadline = deadline
        self._rules = Rules(plan.utterance_silence, plan.utterance_silence, _LONGEST_SECONDS)
        self._pointer = EndPointer(self._rules)
        word = plan.wake_word
        self._wake = recognizer.listener(word) if word else None
        # Where the wake word ended after which a command is awaited.
        self._woken: int | None = None
        self._searched = self._after = 0
        self._speaking = False
        self._samples = np.empty(0, np.float32)
        self._first = 0
        # Probabilities of the windows that begin in the samples kept.
        self._windows: dict[int, float] = {}
        self._heard_windows = 0

    @property
    def busy(self) -> bool:
        """Whether somebody speaks, or is awaited to after the wake word."""
        return self._speaking or self._woken is not None

    async def hear(self, piece: SoundPiece) -> AsyncIterator[Answer]:
        """The next piece."""
        self._samples = np.concatenate([self._samples, piece.samples])
        for probability in piece.speech.tolist():
            self._windows[self._heard_windows] = probability
            window, self._heard_windows = self._heard_windows, self._heard_windows + 1
            async for answer in self._window(window):
                yield answer
            if self._wake is not None and self._woken is None and self._heard - self._searched >= STEP:
                async for answer in self._search(self._wake):
                    yield answer
        self._forget()

    async def finish(self) -> AsyncIterator[Answer]:
        """The end of the sound."""
        if self._wake is not None and self._woken is None and self._heard > self._searched:
            async for answer in self._search(self._wake):
                yield answer
        for happening in self._pointer.finish(self._end):
            async for answer in self._happens(happening):
                yield answer
        if self._woken is not None:
            yield self._nobody(self._end)

    @property
    def _heard(self) -> int:
        """Samples of which it is known whether somebody speaks."""
        return min(self._heard_windows * SPEECH_WINDOW, self._end)

    @property
    def _end(self) -> int:
        return self._first + len(self._samples)

    async def _window(self, window: int) -> AsyncIterator[Answer]:
        begin = window * SPEECH_WINDOW
        sound = self._sound(begin, begin + SPEECH_WINDOW)
        loudness = float(np.sqrt(np.mean(np.square(sound)))) if len(sound) else 0.0
        for happening in self._pointer.hear(self._windows[window], loudness):
            async for answer in self._happens(happening):
                yield answer
        if self._woken is not None and self._pointer.begin is None and self._pointer.now >= self._woken + _PATIENCE:
            yield self._nobody(self._woken + _PATIENCE)

    async def _happens(self, happening: Happening) -> AsyncIterator[Answer]:
        if isinstance(happening, Begun) and not self._speaking:
            self._speaking = True
            yield Speech(begins=True, offset=happening.at / SAMPLE_RATE_HERTZ)
        elif isinstance(happening, Ended):
            if happening.silent:
                self._speaking = False
                yield Speech(begins=False, offset=happening.span.speech_end / SAMPLE_RATE_HERTZ)
            async for answer in self._utterance(happening.span):
                yield answer

    async def _utterance(self, span: Span) -> AsyncIterator[Answer]:
        if self._wake is not None and (self._woken is None or span.speech_end - self._woken < _ECHO):
            return
        self._woken = None
        found = await self._recognizer.recognize(self._plan.commands, self._sound(span.begin, span.end), self._deadline)
        begin = span.begin / SAMPLE_RATE_HERTZ
        if found is not None:
            yield replace(found, start=found.start + begin, end=found.end + begin)
        else:
            start, end = span.speech_begin / SAMPLE_RATE_HERTZ, span.speech_end / SAMPLE_RATE_HERTZ
            yield Unrecognized(start, end, NoCommand.NOT_RECOGNIZED)

    async def _search(self, wake: WakeWordListener) -> AsyncIterator[Answer]:
        """Listen for the wake word; what is said after it is heard again, as the beginning of a command."""
        self._searched = self._heard
        # The end of a word that was found would sound like another one.
        begin = max(self._first, self._heard - WINDOW, self._after)
        found = await wake.search(self._sound(begin, self._heard), begin, self._deadline)
        if not found:
            return
        self._woken = self._after = min(found[-1], self._heard)
        yield Woken(self._woken / SAMPLE_RATE_HERTZ)
        self._pointer = EndPointer(self._rules, begin=self._woken)
        for window in range(self._pointer.now // SPEECH_WINDOW, self._heard_windows):
            async for answer in self._window(window):
                yield answer
        if self._speaking and self._pointer.begin is None:
            self._speaking = False
            yield Speech(begins=False, offset=(self._woken or self._searched) / SAMPLE_RATE_HERTZ)

    def _nobody(self, until: int) -> Unrecognized:
        """Nobody speaks after the wake word."""
        woken, self._woken = self._woken or 0, None
        return Unrecognized(woken / SAMPLE_RATE_HERTZ, until / SAMPLE_RATE_HERTZ, NoCommand.NO_SPEECH)

    def _sound(self, begin: int, end: int) -> NDArray[np.float32]:
        return self._samples[begin - self._first : end - self._first].copy()

    def _forget(self) -> None:
        """Let go of what no utterance and no wake word can need any more."""
        needed = min(self._pointer.needed_from, self._heard)
        if self._wake is not None:
            needed = min(needed, self._heard - WINDOW)
        needed = max(self._first, needed)
        self._samples, self._first = self._samples[needed - self._first :].copy(), needed
        for window in [each for each in self._windows if (each + 1) * SPEECH_WINDOW <= needed]:
            del self._windows[window]
