"""Who reads when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from services.speech.pipelines.schedule import Priority, Schedule


class Stream:
    """Anything."""


class Model:
    """Is busy until it is told to go on; keeps what it did."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.go = asyncio.Semaphore(0)

    def work(self, name: str) -> Callable[[], Awaitable[str]]:
        """A reading of that name."""

        async def read() -> str:
            await self.go.acquire()
            self.done.append(name)
            return name

        return read


async def test_final_before_interim_before_recorded() -> None:
    """Whoever waits is served by priority, whenever they came."""
    schedule, model, stream = Schedule(1), Model(), Stream()
    tasks = [asyncio.create_task(schedule.run(stream, Priority.FINAL, model.work("first")))]
    await asyncio.sleep(0)
    tasks += [
        asyncio.create_task(schedule.run(Stream(), priority, model.work(priority.name)))
        for priority in (Priority.RECORDED, Priority.INTERIM, Priority.FINAL)
    ]
    for _ in tasks:
        model.go.release()
    await asyncio.gather(*tasks)
    assert model.done == ["first", "FINAL", "INTERIM", "RECORDED"]


async def test_streams_take_turns() -> None:
    """A stream with much to read does not keep another one waiting."""
    schedule, model, busy, other = Schedule(1), Model(), Stream(), Stream()
    tasks = [asyncio.create_task(schedule.run(busy, Priority.FINAL, model.work(f"busy {each}"))) for each in range(3)]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(schedule.run(other, Priority.FINAL, model.work("other"))))
    for _ in tasks:
        model.go.release()
    await asyncio.gather(*tasks)
    assert model.done == ["busy 0", "other", "busy 1", "busy 2"]


async def test_who_gives_up_while_waiting() -> None:
    """A place that was given up is not kept free, and the work is not done."""
    schedule, model = Schedule(1), Model()
    running = asyncio.create_task(schedule.run(Stream(), Priority.FINAL, model.work("running")))
    await asyncio.sleep(0)
    gone = asyncio.create_task(schedule.run(Stream(), Priority.FINAL, model.work("gone")))
    after = asyncio.create_task(schedule.run(Stream(), Priority.INTERIM, model.work("after")))
    await asyncio.sleep(0)
    gone.cancel()
    model.go.release()
    model.go.release()
    assert await asyncio.gather(running, after) == ["running", "after"]
    assert schedule.idle


async def test_who_gives_up_while_reading() -> None:
    """A model that reads for somebody who has gone is not free before it is done."""
    schedule, model = Schedule(1), Model()
    gone = asyncio.create_task(schedule.run(Stream(), Priority.FINAL, model.work("gone")))
    for _ in range(3):
        await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert not schedule.idle
    after = asyncio.create_task(schedule.run(Stream(), Priority.FINAL, model.work("after")))
    model.go.release()
    model.go.release()
    await after
    assert model.done == ["gone", "after"]
    assert schedule.idle


async def test_failed_work_frees_the_model() -> None:
    """An error reaches its caller, and the next one is served."""

    async def fail() -> str:
        raise ValueError("broken")

    schedule = Schedule(1)
    with pytest.raises(ValueError, match="broken"):
        await schedule.run(Stream(), Priority.FINAL, fail)
    assert schedule.idle
