"""One live stream: hears its sound, reads what ends, and in between what has been said so far."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.ports import SoundEnd, SoundEvent
from services.speech.pipelines.live.admission import Place
from services.speech.pipelines.live.endpoints import Begun, Ended, Happening, Paused, Span, TurnEnded
from services.speech.pipelines.live.hearing import Hearing
from services.speech.pipelines.live.incoming import Incoming
from services.speech.pipelines.live.interim import Interims, SoFar
from services.speech.pipelines.live.outbox import Outbox
from services.speech.pipelines.live.plan import Answer, Body, ChangeLanguage, End, Event, LivePlan, SpeechEvent
from services.speech.pipelines.live.reading import Reader, Reading
from services.speech.pipelines.live.results import Results
from services.speech.pipelines.live.timeline import Timeline
from services.speech.pipelines.recognition.transcriber import SAMPLE_RATE_HERTZ

# What waits to be read; then no more sound is heard.
_MAX_WAITING = 3
# So much silence is accounted for at once.
_PROGRESS = 3 * SAMPLE_RATE_HERTZ
# When no more sound comes for so long, a control takes effect where the sound is.
_SETTLED_SECONDS = 0.2


@dataclass(eq=False, slots=True)
class _Utterance:
    """One that is over: its sound, and when it was known to be over. guess: its reading, begun before that."""

    span: Span
    samples: NDArray[np.float32]
    ended: float
    guess: asyncio.Task[Reading] | None


_Work = _Utterance | TurnEnded | ChangeLanguage | SoundEnd


class LiveStream:
    """Bounded by the utterance that runs, those few that wait, and what `Incoming` takes ahead."""

    def __init__(
        self,
        plan: LivePlan,
        incoming: Incoming,
        reader: Reader,
        place: Place,
        draining: asyncio.Event,
        *,
        interim_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """incoming: its controls are heard beside the sound. draining: set when the server stops."""
        self._plan = plan
        self._incoming = incoming
        self._reader = reader
        self._draining = draining
        self._place = place
        self._clock = clock
        self._timeline = Timeline(plan.audio_format, plan.resume)
        # The end of the turn may not have come in the call before; better twice than never.
        turn_open = plan.resume is not None and plan.resume.final_results > 0
        self._hearing = Hearing(plan.rules, self._timeline, incoming.controls, turn_open=turn_open)
        self._results = Results(plan, self._timeline)
        self._interims = Interims(
            self._hearing, reader, wanted=lambda: not self._unsaid, seconds=interim_seconds, clock=clock
        )
        self._work: asyncio.Queue[_Work | None] = asyncio.Queue(_MAX_WAITING)
        # Utterances whose final result was not said yet.
        self._unsaid: deque[_Utterance] = deque()
        self._pause: tuple[Span, asyncio.Task[Reading]] | None = None
        self._outbox = Outbox[Answer]()
        self._acknowledged = self._timeline.skipped
        place.lag = self.lag

    def lag(self) -> float:
        """How long the oldest sound waits that was not looked at, in seconds. A recording has none."""
        since = [self._unsaid[0].ended] if self._unsaid else []
        if (waits := self._incoming.waits_since()) is not None:
            since.append(waits)
        return 0.0 if self._plan.recorded or not since else max(0.0, self._clock() - min(since))

    async def answers(
        self, sound: AsyncGenerator[SoundEvent, None], deadline: Deadline
    ) -> AsyncGenerator[Answer, None]:
        """What is said and heard. The first answer comes at once.

        Raises what hearing and reading raise, and Unavailable when the server stops; what ended before is said then.
        """
        running = asyncio.create_task(self._run(sound, deadline))
        running.add_done_callback(lambda _: self._outbox.close())
        try:
            async for answer in self._outbox:
                yield answer
            await running
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError, errors.MeshError):
                await running

    async def _run(self, sound: AsyncGenerator[SoundEvent, None], deadline: Deadline) -> None:
        await self._say(None)
        try:
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(self._incoming.receive())]
                if self._plan.interim_results and not self._plan.recorded:
                    beside.append(group.create_task(self._interims.run(self._say_so_far, deadline)))
                group.create_task(self._hear(sound, deadline))
                await self._read(deadline)
                for task in beside:
                    task.cancel()
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        finally:
            self._drop_guess()

    async def _hear(self, sound: AsyncGenerator[SoundEvent, None], deadline: Deadline) -> None:
        """All sound, as far as there is room for what ends in it."""
        draining = asyncio.ensure_future(self._draining.wait())
        coming = asyncio.ensure_future(anext(sound))
        control = asyncio.ensure_future(self._incoming.control_came.wait())
        try:
            while True:
                if control.done():
                    control = asyncio.ensure_future(self._incoming.control_came.wait())
                due = self._hearing.control_due()
                await asyncio.wait(
                    {coming, draining} if due else {coming, draining, control},
                    timeout=_SETTLED_SECONDS if due else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                self._incoming.control_came.clear()
                if draining.done():
                    break
                if not coming.done():
                    if due:
                        await self._heed(self._hearing.control_now(), deadline)
                    continue
                event = coming.result()
                if isinstance(event, SoundEnd):
                    await self._heed(self._hearing.finish(), deadline)
                    await self._work.put(event)
                    return
                coming = asyncio.ensure_future(anext(sound))
                await self._heed(self._hearing.hear(event), deadline)
                self._incoming.heard(event.bytes_received)
                self._interims.heard()
                if self._accounted() - self._acknowledged >= _PROGRESS:
                    await self._say(None)
            await self._work.put(None)
        except errors.MeshError as error:
            # What the client did wrong says more than what the decoder made of it.
            raise self._incoming.failure or error from None
        finally:
            control.cancel()
            draining.cancel()
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)

    async def _heed(self, happened: list[Happening | ChangeLanguage], deadline: Deadline) -> None:
        works = [self._ended(each) if isinstance(each, Ended) else each for each in happened]
        # Before anything is awaited: what is not said yet must not be acknowledged.
        self._unsaid.extend(each for each in works if isinstance(each, _Utterance))
        for each, work in zip(happened, works, strict=True):
            if isinstance(work, Begun):
                await self._say_event(Event.SPEECH_START, work.at)
            elif isinstance(work, Paused):
                self._guess(work.span, deadline)
            elif not isinstance(work, Ended):
                if isinstance(each, Ended) and each.silent:
                    await self._say_event(Event.SPEECH_END, each.span.speech_end)
                await self._work.put(work)

    def _ended(self, ended: Ended) -> _Utterance:
        span, guess = ended.span, None
        if self._pause and (self._pause[0].begin, self._pause[0].end) == (span.begin, span.end):
            guess = self._pause[1]
            self._pause = None
        self._drop_guess()
        return _Utterance(span, self._hearing.samples(span.begin, span.end), self._clock(), guess)

    def _guess(self, span: Span, deadline: Deadline) -> None:
        """Read an utterance that is over if the silence goes on, when nobody else wants to read."""
        self._drop_guess()
        if not self._plan.recorded and not self._unsaid and self._reader.idle:
            samples = self._hearing.samples(span.begin, span.end)
            self._pause = span, asyncio.create_task(self._reader.final(samples, deadline))

    def _drop_guess(self) -> None:
        if self._pause:
            self._pause[1].cancel()
        self._pause = None

    async def _read(self, deadline: Deadline) -> None:
        """What ended, in order."""
        while True:
            work = await self._work.get()
            if isinstance(work, _Utterance):
                await self._read_utterance(work, deadline)
            elif isinstance(work, TurnEnded):
                await self._say_event(Event.END_OF_TURN, work.at)
            elif isinstance(work, ChangeLanguage):
                self._reader.change_language(work.language)
            elif work is None:
                raise errors.Unavailable.draining(
                    "this server stops: go on with another one from where the last answer said"
                )
            elif self._incoming.failure:
                raise self._incoming.failure
            else:
                duration = self._timeline.seconds(0) + work.duration_seconds
                await self._say(End(duration, self._results.finals, work.damaged))
                return

    async def _read_utterance(self, utterance: _Utterance, deadline: Deadline) -> None:
        reading = None
        if utterance.guess:
            with suppress(errors.MeshError):
                reading = await utterance.guess
        if reading is None:
            reading = await self._reader.final(utterance.samples, deadline)
        self._place.spend(reading.seconds)
        self._reader.settle(reading.transcript)
        result = self._results.final(reading.transcript, utterance.span, *self._reader.language_of(reading.transcript))
        lag = self.lag()
        self._unsaid.popleft()
        await self._say(result, lag)
        self._interims.heard()

    async def _say_so_far(self, so_far: SoFar) -> None:
        transcript = so_far.reading.transcript
        language = self._reader.language_of(transcript)
        await self._say(self._results.interim(so_far, *language), max(so_far.age, self.lag()))

    async def _say_event(self, event: Event, at: int) -> None:
        await self._say(SpeechEvent(event, self._timeline.seconds(at)))

    async def _say(self, body: Body, lag: float | None = None) -> None:
        """Answer. lag: None for that of now."""
        self._acknowledged = max(self._acknowledged, self._accounted())
        acknowledged = self._timeline.acknowledged(self._acknowledged)
        if lag is None or self._plan.recorded:
            lag = self.lag()
        await self._outbox.put(Answer(body, *acknowledged, lag))

    def _accounted(self) -> int:
        """What lies before is in final results that were said, or is silence."""
        unsaid = [self._unsaid[0].span.begin] if self._unsaid else []
        return min(self._hearing.pointer.accounted, self._hearing.heard, *unsaid)
