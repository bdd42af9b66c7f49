"""Reads the utterances of one stream, in the language that it turns out to be in."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.mesh.deadline import Deadline
from services.mesh.pieces import piece
from services.speech.pipelines.live.plan import LivePlan
from services.speech.pipelines.recognition.transcriber import SAMPLE_RATE_HERTZ, Transcriber, Transcript
from services.speech.pipelines.schedule import Priority, Schedule

# From which probability on the language of an utterance is that of the whole stream.
_SURE = 0.7
# One reading may take so long, waiting not included; then something is broken, and another server may do better.
_READING_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What an utterance says, and how long the recogniser took for it."""

    transcript: Transcript
    seconds: float


class Reader:
    """Keeps the language. One for each stream: the schedule knows the stream by it."""

    def __init__(self, plan: LivePlan, transcriber: Transcriber, schedule: Schedule) -> None:
        self._plan = plan
        self._transcriber = transcriber
        self._schedule = schedule
        self._priority = Priority.RECORDED if plan.recorded else Priority.FINAL
        self._given = plan.language
        self._found = plan.resume.language if plan.resume else ""

    @property
    def idle(self) -> bool:
        """Whether a reading could begin at once."""
        return self._schedule.idle

    def change_language(self, language: str) -> None:
        """Of what follows; "" to find out anew."""
        self._given, self._found = language, ""

    async def final(self, samples: NDArray[np.float32], deadline: Deadline) -> Reading:
        """Of a whole utterance."""

        async def read() -> Reading:
            return await self._read(samples, deadline, quick=False)

        return await self._schedule.run(self, self._priority, read)

    async def interim(self, so_far: Callable[[], NDArray[np.float32] | None], deadline: Deadline) -> Reading | None:
        """Of an utterance that goes on. so_far: asked when it is its turn; None for nothing to be read now."""

        async def read() -> Reading | None:
            samples = so_far()
            return None if samples is None else await self._read(samples, deadline, quick=True)

        return await self._schedule.run(self, Priority.INTERIM, read)

    def settle(self, transcript: Transcript) -> None:
        """Keep the language of a final reading that is sure of it."""
        sure = transcript.language_probability >= _SURE and transcript.text
        if not self._given and not self._found and sure:
            self._found = transcript.language

    def language_of(self, transcript: Transcript) -> tuple[str, float]:
        """What it is in, and how sure the model was; 1 when the language was given."""
        return transcript.language, 1.0 if self._given else transcript.language_probability

    async def _read(self, samples: NDArray[np.float32], deadline: Deadline, *, quick: bool) -> Reading:
        began = time.monotonic()
        seconds = round(len(samples) / SAMPLE_RATE_HERTZ, 2)
        with piece("utterance", {"maas.audio.seconds": seconds, "maas.speech.interim": quick}):
            transcript = await self._transcriber.transcribe(
                samples,
                self._plan.card,
                language=self._given or self._found,
                word_times=(self._plan.word_times or self._plan.captions is not None) and not quick,
                hints=self._plan.hints,
                quick=quick,
                deadline=Deadline.after(min(deadline.require_seconds(), _READING_SECONDS)),
            )
        return Reading(transcript, time.monotonic() - began)
