"""Turns at a call, on a virtual clock."""

import asyncio

import pytest

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.router.pipelines.graph import Limit
from services.router.pipelines.resilience.limit import Turns
from tests.virtual_time import in_virtual_time


async def work(turns, log, name, seconds=1.0, patience=60.0):
    async with turns.turn(Deadline.after(patience)):
        log.append(name)
        await asyncio.sleep(seconds)


@in_virtual_time
async def test_so_many_at_once_and_the_rest_in_order():
    """Two run, two wait for their turns, and all are done in two rounds."""
    turns, log = Turns(Limit(at_once=2, queue=2)), []
    begin = asyncio.get_running_loop().time()
    await asyncio.gather(*(work(turns, log, name) for name in "abcd"))
    assert log == list("abcd")
    assert asyncio.get_running_loop().time() - begin == 2


@in_virtual_time
async def test_a_full_queue_refuses():
    """The call after those that may wait fails at once, with a time to come back."""
    turns, log = Turns(Limit(at_once=1, queue=1)), []
    waiting = [asyncio.create_task(work(turns, log, name)) for name in "ab"]
    await asyncio.sleep(0)
    with pytest.raises(errors.Exhausted) as caught:
        await work(turns, log, "c")
    assert (caught.value.reason, caught.value.retry_after_seconds) == ("QUEUE_FULL", 1)
    await asyncio.gather(*waiting)
    assert log == ["a", "b"]


@in_virtual_time
async def test_waiting_counts_against_the_deadline():
    """A turn that does not come in time is DEADLINE_EXCEEDED, and its place in the queue is free again."""
    turns, log = Turns(Limit(at_once=1, queue=1)), []
    first = asyncio.create_task(work(turns, log, "a", seconds=5))
    await asyncio.sleep(0)
    with pytest.raises(errors.DeadlineExceeded):
        await work(turns, log, "b", patience=2)
    await work(turns, log, "c")
    await first
    assert log == ["a", "c"]


@in_virtual_time
async def test_who_gives_up_leaves_no_trace():
    """A cancelled waiter's place is free, and its turn goes to the next."""
    turns, log = Turns(Limit(at_once=1, queue=1)), []
    first = asyncio.create_task(work(turns, log, "a"))
    await asyncio.sleep(0)
    waiter = asyncio.create_task(work(turns, log, "b"))
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    await work(turns, log, "c")
    await first
    assert log == ["a", "c"]
