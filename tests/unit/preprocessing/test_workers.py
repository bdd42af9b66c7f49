"""The threads: how many work and wait, and what never begins."""

import asyncio
import threading

import pytest

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.preprocessing.pipelines.workers import Workers


class Gate:
    """Work that says when it has begun, and ends when it is let."""

    def __init__(self):
        self.begun = asyncio.Event()
        self.leave = threading.Event()
        self._loop = asyncio.get_running_loop()

    def __call__(self) -> str:
        self._loop.call_soon_threadsafe(self.begun.set)
        assert self.leave.wait(10)
        return "done"


def soon() -> Deadline:
    return Deadline.after(10)


async def turns() -> None:
    """Let every task that can run come to its next wait."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_results_and_errors_come_back():
    """The caller gets what the function returns or raises."""
    with Workers(threads=1, max_waiting=0) as workers:
        assert await workers.run(lambda: 5, soon()) == 5
        with pytest.raises(ZeroDivisionError):
            await workers.run(lambda: 1 / 0, soon())
        assert await workers.run(lambda: 6, soon()) == 6


async def test_the_loop_stays_free():
    """Work does not stand in the way of other calls."""
    with Workers(threads=2, max_waiting=0) as workers:
        gate = Gate()
        running = asyncio.create_task(workers.run(gate, soon()))
        await asyncio.wait_for(gate.begun.wait(), 10)
        assert await workers.run(lambda: "meanwhile", soon()) == "meanwhile"
        gate.leave.set()
        assert await running == "done"


async def test_a_full_queue_refuses():
    """Beyond the threads and the waiting places a call fails at once, and is told when to come back."""
    with Workers(threads=1, max_waiting=1) as workers:
        gate = Gate()
        running = asyncio.create_task(workers.run(gate, soon()))
        await asyncio.wait_for(gate.begun.wait(), 10)
        waiting = asyncio.create_task(workers.run(lambda: "second", soon()))
        await turns()
        with pytest.raises(errors.Exhausted) as caught:
            await workers.run(lambda: "third", soon())
        assert caught.value.retry_after_seconds
        gate.leave.set()
        assert await asyncio.gather(running, waiting) == ["done", "second"]
        assert await workers.run(lambda: "again", soon()) == "again"


async def test_cancelled_work_never_begins():
    """Work whose caller went away while it waited is never done, and its place is free at once."""
    with Workers(threads=1, max_waiting=1) as workers:
        gate = Gate()
        begun = []
        running = asyncio.create_task(workers.run(gate, soon()))
        await asyncio.wait_for(gate.begun.wait(), 10)
        for index in range(20):
            waiting = asyncio.create_task(workers.run(lambda index=index: begun.append(index), soon()))
            await turns()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        gate.leave.set()
        assert await running == "done"
        assert await workers.run(lambda: "next", soon()) == "next"
        assert begun == []


async def test_late_work_never_begins():
    """Work whose deadline passed is not begun, whether it waited or not."""
    begun = []
    with Workers(threads=1, max_waiting=5) as workers:
        with pytest.raises(errors.DeadlineExceeded):
            await workers.run(lambda: begun.append("at once"), Deadline.after(0))
        gate = Gate()
        running = asyncio.create_task(workers.run(gate, soon()))
        await asyncio.wait_for(gate.begun.wait(), 10)
        for seconds in (0, 0.01):
            with pytest.raises(errors.DeadlineExceeded):
                await workers.run(lambda: begun.append("waited"), Deadline.after(seconds))
        gate.leave.set()
        await running
        assert await workers.run(lambda: 1, soon()) == 1
    assert begun == []


async def test_abandoned_work_counts_until_it_ends():
    """A thread whose caller went away is not given to another before it is done."""
    with Workers(threads=1, max_waiting=0) as workers:
        gate = Gate()
        running = asyncio.create_task(workers.run(gate, soon()))
        await asyncio.wait_for(gate.begun.wait(), 10)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        with pytest.raises(errors.Exhausted):
            await workers.run(lambda: 1, soon())
        gate.leave.set()
        async with asyncio.timeout(10):
            while True:
                try:
                    assert await workers.run(lambda: 2, soon()) == 2
                    break
                except errors.Exhausted:
                    await asyncio.sleep(0)
