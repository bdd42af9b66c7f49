"""Reads again and again what has been said so far."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.speech.pipelines.live.agreement import Agreement, Interim
from services.speech.pipelines.live.hearing import Hearing
from services.speech.pipelines.live.reading import Reader, Reading
from services.speech.pipelines.recognition.transcriber import SAMPLE_RATE_HERTZ

# A reading needs so much of the utterance, and so much more than the one before.
_FIRST, _NEXT = SAMPLE_RATE_HERTZ * 7 // 10, SAMPLE_RATE_HERTZ * 3 // 10
# Between the beginnings of two there is at least so many times what the last one took, its waiting included: the more
# there is to do, the rarer they are.
_TIMES = 1.5


@dataclass(frozen=True, slots=True)
class SoFar:
    """An utterance that goes on, from begin to end in samples, and what is shown of it. age: of its end, in seconds."""

    begin: int
    end: int
    interim: Interim
    reading: Reading
    age: float


class Interims:
    """The interim results of one stream: at most one is being read, always of the newest sound."""

    def __init__(
        self,
        hearing: Hearing,
        reader: Reader,
        *,
        wanted: Callable[[], bool],
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """wanted: whether the stream has nothing better to read. seconds: between two readings, at least."""
        self._hearing = hearing
        self._reader = reader
        self._wanted = wanted
        self._seconds = seconds
        self._clock = clock
        self._news = asyncio.Event()
        self._agreement = Agreement()
        # The utterance that is being read, and where the last reading ended.
        self._begin = self._end = -1
        self._taken = 0.0

    def heard(self) -> None:
        """There is more sound, or time to read it."""
        self._news.set()

    async def run(self, say: Callable[[SoFar], Awaitable[None]], deadline: Deadline) -> None:
        """For ever; a failed reading is left out, since the final one will tell."""
        while True:
            await self._news.wait()
            self._news.clear()
            if not self._due():
                continue
            began = self._clock()
            with suppress(errors.MeshError):
                reading = await self._reader.interim(self._take, deadline)
                if reading is not None and self._hearing.pointer.begin == self._begin and self._wanted():
                    interim = self._agreement.read(reading.transcript.text)
                    if interim.transcript:
                        age = self._clock() - self._taken
                        await say(SoFar(self._begin, self._end, interim, reading, age))
            took = self._clock() - began
            await asyncio.sleep(max(0.0, self._seconds - took, took * (_TIMES - 1)))

    def _due(self) -> bool:
        begin = self._hearing.pointer.begin
        if begin is None or not self._wanted():
            return False
        return self._hearing.heard >= (self._end + _NEXT if begin == self._begin else begin + _FIRST)

    def _take(self) -> NDArray[np.float32] | None:
        begin = self._hearing.pointer.begin
        if begin is None or not self._due():
            return None
        if begin != self._begin:
            self._agreement = Agreement()
        self._begin, self._end, self._taken = begin, self._hearing.heard, self._clock()
        return self._hearing.samples(self._begin, self._end)
