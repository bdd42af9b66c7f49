"""StreamingRecognize without its transport."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, nullcontext

from services.mesh.deadline import Deadline
from services.mesh.ports import Preprocessor, SoundEnd, SoundEvent
from services.speech.pipelines.live.admission import Admission, Place
from services.speech.pipelines.live.incoming import Incoming
from services.speech.pipelines.live.plan import Answer, Control, LivePlan
from services.speech.pipelines.live.reading import Reader
from services.speech.pipelines.live.stream import LiveStream
from services.speech.pipelines.recognition.transcriber import SAMPLE_RATE_HERTZ, Transcriber
from services.speech.pipelines.schedule import Schedule

# Between two interim results of a stream when there is little else to do.
_INTERIM_SECONDS = 0.6


class LiveRecognizer:
    """Writes down speech while it is spoken. All streams of a process share one."""

    def __init__(
        self,
        transcriber: Transcriber,
        preprocessor: Preprocessor,
        schedule: Schedule,
        *,
        max_live_streams: int = 16,
        interim_seconds: float = _INTERIM_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """schedule: gives each reading its turn. max_live_streams: more are refused.

        interim_seconds: between two interim results of a stream, at least.
        """
        self._transcriber = transcriber
        self._preprocessor = preprocessor
        self._interim_seconds = interim_seconds
        self._clock = clock
        self._schedule = schedule
        self.admission = Admission(max_live_streams=max_live_streams, recognizers=schedule.at_once, clock=clock)
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """The server stops: what ended is said and acknowledged, then every stream fails with DRAINING."""
        self._draining.set()

    async def recognize(
        self, plan: LivePlan, inputs: AsyncIterator[bytes | Control], deadline: Deadline
    ) -> AsyncGenerator[Answer, None]:
        """What is said in a stream. inputs: chunks of 1 byte to 1 MiB and controls, read as there is room for them.

        Raises Exhausted before any answer when the machine cannot keep up with one more live stream, Unavailable with
        the reason DRAINING when the server stops, and what hearing, reading and `inputs` raise.
        """
        incoming = Incoming(inputs, clock=self._clock)
        with nullcontext(Place()) if plan.recorded else self.admission.place() as place:
            stream = LiveStream(
                plan,
                incoming,
                Reader(plan, self._transcriber, self._schedule),
                place,
                self._draining,
                interim_seconds=self._interim_seconds,
                clock=self._clock,
            )
            async with (
                aclosing(self._sound(plan, incoming, deadline)) as sound,
                aclosing(stream.answers(sound, deadline)) as answers,
            ):
                async for answer in answers:
                    yield answer

    async def _sound(self, plan: LivePlan, incoming: Incoming, deadline: Deadline) -> AsyncGenerator[SoundEvent, None]:
        """The sound, once there is any: a client may speak after an hour, and one that came back may have said all."""
        if not await incoming.begins():
            yield SoundEnd(0.0, 0, 0, "", damaged=False)
            return
        pieces = self._preprocessor.stream_audio(
            incoming.sound(),
            plan.audio_format,
            sample_rate_hertz=SAMPLE_RATE_HERTZ,
            measure_speech=True,
            field="audio_content",
            deadline=deadline,
        )
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece
