"""Some work at once, answers in order."""

import asyncio
from contextlib import aclosing

import pytest

from services.vision.pipelines.video.ordered import ordered, ticking


class Source:
    """Numbers; counts those that were taken."""

    def __init__(self, count, *, fails=False):
        self.taken = 0
        self.closed = False
        self._count = count
        self._fails = fails

    async def numbers(self):
        try:
            for number in range(self._count):
                self.taken += 1
                yield number
            if self._fails:
                raise ValueError("the source failed")
        finally:
            self.closed = True


async def collect(results, seen):
    """Keep the results that come, whatever comes then."""
    async for each in results:
        seen += [each]


async def settled():
    """Let everything go on that can."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_in_order():
    """Results come in order, whichever work is done first."""
    gates = [asyncio.Event() for _ in range(6)]

    async def work(number):
        if number < 5:
            await gates[number + 1].wait()
        gates[number].set()
        return number

    gates[3].set()
    gates[5].set()
    assert [each async for each in ordered(Source(6).numbers(), work, at_once=3)] == list(range(6))


async def test_no_more_than_needed():
    """While nobody takes results, no more is read than may be worked on at once; then one for each that is taken."""
    source = Source(100)

    async def work(number):
        return number

    async with aclosing(ordered(source.numbers(), work, at_once=4)) as results:
        assert source.taken == 0
        await anext(results)
        await settled()
        assert source.taken == 4
        for taken in range(5, 20):
            await anext(results)
            await settled()
            assert source.taken == taken


async def test_closed():
    """Closing ends the work that is going on, and the reading."""
    source, ended = Source(100), []

    async def work(number):
        if not number:
            return number
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    async with aclosing(source.numbers()) as numbers, aclosing(ordered(numbers, work, at_once=3)) as results:
        await anext(results)
        await settled()
    assert sorted(ended) == [1, 2]
    assert source.closed


@pytest.mark.parametrize("at_once", [1, 3, 10])
async def test_failing_source(at_once):
    """What was read before the source failed is worked on first."""

    async def work(number):
        await settled()
        return number

    seen = []
    with pytest.raises(ValueError, match="the source failed"):
        await collect(ordered(Source(5, fails=True).numbers(), work, at_once=at_once), seen)
    assert seen == list(range(5))


async def test_failing_work():
    """Work that fails does so in its turn."""

    async def work(number):
        if number == 2:
            raise ValueError("the work failed")
        await settled()
        return number

    seen = []
    with pytest.raises(ValueError, match="the work failed"):
        await collect(ordered(Source(5).numbers(), work, at_once=4), seen)
    assert seen == [0, 1]


async def test_ticks():
    """None comes while an item is waited for; the item itself is not lost."""
    gate = asyncio.Event()

    async def items():
        yield 1
        await gate.wait()
        yield 2

    seen = []
    async for each in ticking(items(), 0.001):
        seen.append(each)
        if len(seen) == 4:
            gate.set()
    assert seen[:4] == [1, None, None, None]
    assert [each for each in seen if each is not None] == [1, 2]
