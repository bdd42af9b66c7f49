"""Back-pressure: what stands still at one place holds back all before it."""

import asyncio

import pytest

from services.router.pipelines.plan import StreamStep
from services.router.pipelines.streaming import run_stream
from services.router.pipelines.streaming.channel import Channel
from services.router.pipelines.streaming.fan import BUFFER
from tests.unit.router.pipelines.streaming.fakes import (
    SOUND,
    FakeExecution,
    Service,
    call,
    calls,
    collect,
    output,
    unary,
)


async def same(scope):
    return scope[SOUND]


async def of_b(scope):
    return scope["b"]


async def settle():
    """Until nothing moves any more."""
    for _ in range(500):
        await asyncio.sleep(0)


class Counted:
    """An endless input that knows how many items were taken."""

    taken = 0

    async def items(self):
        while self.taken < 1000:
            self.taken += 1
            yield self.taken


# Each stage holds what waits for it and what it works on.
STAGES = {
    "none": ([], SOUND, 0),
    "unary": ([unary("a", same)], "a", BUFFER + 1),
    "unary at once": ([unary("a", same, at_once=3)], "a", BUFFER + 1 + 3),
    "call": ([call("a", Service())], "a", BUFFER + 1),
    "call for each": ([calls("a", Service())], "a", BUFFER + 1),
    "calls at once": ([calls("a", Service(), at_once=3)], "a", BUFFER + 1 + 3),
    "three": ([unary("a", same), call("b", Service(), source="a"), unary("c", of_b, source="b")], "c", None),
}


@pytest.mark.parametrize("stages", STAGES)
async def test_an_output_that_nobody_takes_stops_the_input(stages):
    """Only a few items are taken from the client when its outputs stand still, and no more later."""
    before, last, held = STAGES[stages]
    begun, counted = asyncio.Event(), Counted()

    async def emit(name, value):
        begun.set()
        await asyncio.Event().wait()

    step = StreamStep(stages=(*before, collect("list", SOUND, most=1000)))
    execution = FakeExecution(step, [output("out", last)], sound=counted.items())
    execution.emit = emit
    running = asyncio.create_task(run_stream(execution, step, {}))
    await begun.wait()
    await settle()
    # The output holds one and has some waiting, and so has the input itself.
    at_most = (3 * (BUFFER + 1) if held is None else held) + BUFFER + 2
    assert BUFFER < counted.taken <= at_most
    running.cancel()
    await asyncio.wait({running})


@pytest.mark.parametrize("at_once", [1, 3])
async def test_answers_that_nobody_takes_stop_their_calls(at_once):
    """Of a call for an item only a few answers are taken ahead, each of those at the same time."""
    given = 0

    def answers(request):
        nonlocal given
        for _ in range(1000):
            given += 1
            yield given

    async def emit(name, value):
        await asyncio.Event().wait()

    step = StreamStep(stages=(calls("a", Service(answers), at_once=at_once),))
    execution = FakeExecution(step, [output("out", "a")], sound=Counted().items())
    execution.emit = emit
    running = asyncio.create_task(run_stream(execution, step, {}))
    await settle()
    # Of several calls each has a few waiting for their turn.
    assert BUFFER < given <= BUFFER + 2 + (at_once * (BUFFER + 1) if at_once > 1 else 0)
    running.cancel()
    await asyncio.wait({running})


async def test_the_slowest_taker_holds_back_the_others():
    """One of two stages that stands still lets the other have a few items more."""
    counted, seen = Counted(), []

    async def see(scope):
        seen.append(scope[SOUND])

    async def stuck(scope):
        await asyncio.Event().wait()

    step = StreamStep(stages=(unary("stuck", stuck), unary("see", see)))
    running = asyncio.create_task(run_stream(FakeExecution(step, sound=counted.items()), step, {}))
    await settle()
    assert len(seen) == BUFFER + 1
    assert counted.taken == BUFFER + 2
    running.cancel()
    await asyncio.wait({running})


async def test_a_channel_waits_for_room():
    """A full channel makes its writer wait until one is taken, in order."""
    channel = Channel(2)
    done = []

    async def write():
        for each in range(5):
            await channel.put(each)
            done.append(each)
        channel.close()

    writing = asyncio.create_task(write())
    await settle()
    assert done == [0, 1]
    assert await anext(channel) == 0
    await settle()
    assert done == [0, 1, 2]
    assert [each async for each in channel] == [1, 2, 3, 4]
    assert channel.closed
    await writing


async def test_a_channel_that_nobody_listens_to():
    """Its writer goes on at once, also one that waits already; what was in it is gone."""
    channel = Channel(1)
    await channel.put(0)
    waiting = asyncio.create_task(channel.put(1))
    await settle()
    assert not waiting.done()
    channel.drop()
    await waiting
    await channel.put(2)
    channel.close()
    assert [each async for each in channel] == []


async def test_a_reader_who_is_cancelled_loses_nothing():
    """What was put while it was being cancelled is there for the next who reads."""
    channel = Channel(1)
    reading = asyncio.ensure_future(anext(channel))
    await settle()
    await channel.put(1)
    reading.cancel()
    await asyncio.wait({reading})
    channel.close()
    assert reading.cancelled()
    assert [each async for each in channel] == [1]
