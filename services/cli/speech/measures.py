"""How fast and how steadily speech was written down, as whoever looks on sees it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from statistics import median

from maas.speech.v1 import live_pb2 as pb
from services.cli.output import clock, seconds

# Where an utterance begins and ends is told a little differently by events and by results.
_NEAR_SECONDS = 0.5


@dataclass
class Measures:
    """Of one stream that is sent as fast as it sounds.

    now: a clock, in seconds. first: from when somebody began to speak to the first text, final: from when they paused
    to the final text, of each utterance. retracted: words of interim text that the next text of the utterance had no
    more; shown: words of final text.
    """

    now: Callable[[], float]
    first: list[float] = field(default_factory=list)
    final: list[float] = field(default_factory=list)
    retracted: int = 0
    shown: int = 0
    _sound_began: float | None = None
    # When somebody began to speak, and stopped, in utterances that have no text yet, or no final one.
    _begins: list[float] = field(default_factory=list)
    _ends: list[float] = field(default_factory=list)
    _before: list[str] = field(default_factory=list)
    _languages: dict[str, None] = field(default_factory=dict)
    _end: pb.StreamingRecognizeEnd = field(default_factory=pb.StreamingRecognizeEnd)

    async def timed(self, sound: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same sound; it is noted when it begins."""
        async for chunk in sound:
            if self._sound_began is None:
                self._sound_began = self.now()
            yield chunk

    def see(self, answer: pb.StreamingRecognizeResponse) -> None:
        """Note what an answer says, and when it came."""
        if answer.HasField("speech_event"):
            offset = seconds(answer.speech_event.offset)
            if answer.speech_event.type == pb.SPEECH_EVENT_TYPE_SPEECH_START:
                self._begins.append(offset)
            elif answer.speech_event.type == pb.SPEECH_EVENT_TYPE_SPEECH_END:
                self._ends.append(offset)
        elif answer.HasField("result"):
            self._result(answer.result)
        elif answer.HasField("end"):
            self._end = answer.end

    def _result(self, result: pb.StreamingRecognitionResult) -> None:
        passed = self.now() - (self._sound_began or 0.0)
        until = seconds(result.result_end_offset) + _NEAR_SECONDS
        words = _words(result.transcript)
        if words and not self._before:
            self.first += _passed(passed, self._begins, until)
        self.retracted += len(self._before) - _common(self._before, words)
        self._before = words
        if result.is_final:
            self.final += _passed(passed, self._ends, until)
            self.shown += len(words)
            if words:
                self._languages[result.language_code] = None
            self._before = []

    def summary(self) -> str:
        """One line."""
        count = self._end.final_results
        told = [f"{clock(seconds(self._end.duration))} of sound", f"{count} utterance{'s' * (count != 1)}"]
        told += [f"language {', '.join(self._languages)}"] if self._languages else []
        if self.first:
            told.append(f"first text {_typical(self.first)} after somebody began to speak")
        if self.final:
            told.append(f"final text {_typical(self.final)} after they paused")
        if self.shown:
            told.append(f"{self.retracted} of {self.shown} words were taken back")
        if self._end.damaged:
            told.append("partly damaged")
        return " · ".join(told)


def _passed(now: float, events: list[float], until: float) -> list[float]:
    """How long ago the last event up to a moment was, if there was one; it and those before are used up."""
    due = [each for each in events if each <= until]
    del events[: len(due)]
    return [max(0.0, now - due[-1])] if due else []


def _typical(found: list[float]) -> str:
    return f"{median(found):.1f} s" + (f" (at most {max(found):.1f} s)" if len(found) > 1 else "")


def _words(text: str) -> list[str]:
    """Words without case and punctuation, which may change without anybody minding."""
    return re.findall(r"\w+", text.lower())


def _common(one: list[str], other: list[str]) -> int:
    """How many words at the beginning are the same."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
