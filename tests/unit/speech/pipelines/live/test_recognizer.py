"""Live streams without a transport."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence

import numpy as np

from services.mesh.deadline import Deadline
from services.mesh.ports import Array, AudioFormat
from services.mesh.testing import FakeInference, FakePreprocessor
from services.speech.pipelines.live.endpoints import Rules
from services.speech.pipelines.live.plan import Answer, End, LivePlan, Result
from services.speech.pipelines.live.recognizer import LiveRecognizer
from services.speech.pipelines.recognition.transcriber import Transcriber
from services.speech.pipelines.schedule import Schedule
from tests.unit.speech.pipelines.live.speakers import CARD, RATE, ear, silence, speak

PLAN = LivePlan(CARD, AudioFormat("float32", RATE, 1), Rules(), str(uuid.uuid4()))


class Stuck(FakeInference):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__(ear)
        self.go = asyncio.Event()

    async def infer(
        self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str], *, deadline: Deadline
    ) -> dict[str, Array]:
        """Wait first."""
        await self.go.wait()
        return await super().infer(model, inputs, outputs, deadline=deadline)


async def test_reads_ahead_within_a_bound() -> None:
    """While nothing can be written down, a client that sends fast waits; then nothing is missing."""
    inference, taken = Stuck(), 0
    utterance = np.concatenate([speak(1, 2), silence(1)]).tobytes()

    async def flood() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield utterance

    live = LiveRecognizer(Transcriber(inference), FakePreprocessor(), Schedule(1))
    answers: list[Answer] = []

    async def listen() -> None:
        answers.extend([answer async for answer in live.recognize(PLAN, flood(), Deadline.after(30))])

    listening = asyncio.create_task(listen())
    for _ in range(1000):
        await asyncio.sleep(0)
    assert 0 < taken < 30
    assert not listening.done()
    inference.go.set()
    await listening
    finals = [each.body.transcript for each in answers if isinstance(each.body, Result)]
    assert finals == ["one two"] * 100


async def test_lag_tells_the_truth() -> None:
    """A final result that came late says how late it was."""
    now, inference = 0.0, Stuck()

    async def talk() -> AsyncIterator[bytes]:
        yield np.concatenate([speak(1), silence(1)]).tobytes()
        while not schedule.idle:
            await asyncio.sleep(0)

    schedule = Schedule(1)
    live = LiveRecognizer(Transcriber(inference), FakePreprocessor(), schedule, clock=lambda: now)
    answers: list[Answer] = []

    async def listen() -> None:
        answers.extend([answer async for answer in live.recognize(PLAN, talk(), Deadline.after(30))])

    listening = asyncio.create_task(listen())
    while schedule.idle:
        await asyncio.sleep(0)
    for _ in range(50):
        await asyncio.sleep(0)
    now = 4.0
    inference.go.set()
    await listening
    [final] = [each for each in answers if isinstance(each.body, Result)]
    assert final.lag == 4.0
    assert isinstance(answers[-1].body, End)
    assert answers[-1].lag == 0
