"""Calls of low priority and the idle time of a model."""

import asyncio
from collections import Counter

import pytest

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.priority import is_low_priority, low_priority
from services.mesh.triton.idle import IdleTime
from tests.virtual_time import in_virtual_time

MODEL = "m"


class Model:
    """One instance, its calls, and who waits for its idle time."""

    def __init__(self, most=8):
        self.inflight = Counter()
        self.idle = IdleTime(self.inflight, most)

    def turn(self, seconds=10.0):
        return asyncio.create_task(self.idle.turn(MODEL, 1, Deadline.after(seconds)))

    def end(self):
        self.inflight[MODEL] -= 1
        self.idle.ended(MODEL, 1)


async def settled():
    for _ in range(5):
        await asyncio.sleep(0)


@in_virtual_time
async def test_an_idle_model_takes_it_at_once():
    """A call of low priority waits for nothing when nothing is under way."""
    await Model().turn()


@in_virtual_time
async def test_a_busy_model_lets_them_in_one_by_one():
    """Each waits until what is under way has ended, in the order in which they came."""
    model = Model()
    model.inflight[MODEL] = 2
    first, second = model.turn(), model.turn()
    await settled()
    model.end()
    await settled()
    assert not first.done()
    model.end()
    await settled()
    assert first.done()
    assert not second.done()
    model.inflight[MODEL] += 1  # the first one's own call
    model.end()
    await second


@in_virtual_time
async def test_no_idle_time():
    """After half of the time that it has, it is refused with a time to come back."""
    model = Model()
    model.inflight[MODEL] = 1
    began = asyncio.get_running_loop().time()
    with pytest.raises(errors.Exhausted) as caught:
        await model.turn(10.0)
    assert asyncio.get_running_loop().time() - began == 5.0
    assert caught.value.reason == "NO_IDLE_TIME"
    assert caught.value.retry_after_seconds


@in_virtual_time
async def test_the_line_is_bounded():
    """More than may wait are refused at once."""
    model = Model(most=1)
    model.inflight[MODEL] = 1
    waiting = model.turn()
    await settled()
    with pytest.raises(errors.Exhausted):
        await model.turn()
    model.end()
    await waiting


@in_virtual_time
async def test_a_turn_that_nobody_takes_goes_to_the_next():
    """A call that is cancelled in the moment of its turn leaves it to the one behind it."""
    model = Model()
    model.inflight[MODEL] = 1
    first, second = model.turn(), model.turn()
    await settled()
    model.end()
    first.cancel()
    await second
    with pytest.raises(asyncio.CancelledError):
        await first


def test_the_mark_is_of_the_block():
    """What is done inside the block is of low priority, and nothing before or after it."""
    assert not is_low_priority()
    with low_priority():
        assert is_low_priority()
    assert not is_low_priority()
