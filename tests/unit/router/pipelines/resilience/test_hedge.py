"""Slow calls that are made a second time, on a virtual clock."""

import asyncio

import pytest

from services.mesh import errors
from services.router.pipelines.graph import Hedge
from services.router.pipelines.resilience.hedge import Hedging
from services.router.pipelines.resilience.retry import RetryBudget
from tests.virtual_time import in_virtual_time

BROKEN = errors.Internal("broken")


class Service:
    """Takes so many seconds for each call in turn, the last for all that follow; errors are raised then."""

    def __init__(self, *calls):
        self.calls = list(calls)
        self.begun_at, self.running, self.cancelled, self.seconds = [], 0, 0, 0

    async def call(self):
        number = len(self.begun_at)
        self.begun_at.append(asyncio.get_running_loop().time())
        seconds, error = self.calls[min(number, len(self.calls) - 1)], None
        if isinstance(seconds, tuple):
            seconds, error = seconds
        self.running += 1
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if error:
            raise error
        return number

    def second(self):
        self.seconds += 1


def hedging(budget=None, **policy):
    return Hedging(Hedge.model_validate({"after": "2s", "share": 0.5, **policy}), budget or RetryBudget())


async def elapsed(hedged, service):
    """The answer, and the seconds that it took."""
    began = asyncio.get_running_loop().time()
    answer = await hedged.call(service.call, service.second)
    return answer, asyncio.get_running_loop().time() - began


@in_virtual_time
async def test_a_fast_call_is_made_once():
    """It answers before the second would begin."""
    service = Service(1)
    assert await elapsed(hedging(), service) == (0, 1)
    assert service.seconds == 0


@in_virtual_time
async def test_a_slow_call_is_made_twice_and_the_faster_counts():
    """The loser is cancelled and has ended when the answer is given."""
    service = Service(60, 1)
    assert await elapsed(hedging(), service) == (1, 3)
    assert (service.seconds, service.cancelled, service.running) == (1, 1, 0)


@in_virtual_time
async def test_the_first_may_still_win():
    """Then it is the second that is cancelled."""
    service = Service(3, 60)
    assert await elapsed(hedging(), service) == (0, 3)
    assert (service.seconds, service.cancelled, service.running) == (1, 1, 0)


@pytest.mark.parametrize("calls", [((3, BROKEN), 5), (7, (1, BROKEN))])
@in_virtual_time
async def test_while_one_runs_the_failure_of_the_other_does_not_count(calls):
    """Whichever of them fails."""
    service = Service(*calls)
    answer, seconds = await elapsed(hedging(), service)
    assert (seconds, service.running) == (7, 0)
    assert answer == calls.index(next(each for each in calls if not isinstance(each, tuple)))


@in_virtual_time
async def test_the_wait_is_learnt():
    """After twenty calls of a second the next waits for a second, and a minute later for what the graph says again."""
    hedged = hedging(after="10s", percentile=0.9)
    for _ in range(20):
        await hedged.call(Service(1).call, lambda: None)
    assert await elapsed(hedged, Service(60, 1)) == (1, 2)
    await asyncio.sleep(61)
    assert await elapsed(hedged, Service(60, 1)) == (1, 11)


@in_virtual_time
async def test_the_share_is_kept():
    """However many calls are slow, about one of ten is made twice."""
    service, hedged = Service(5), hedging(share=0.1)
    for _ in range(100):
        await hedged.call(service.call, service.second)
    assert 9 <= service.seconds <= 11
    assert len(service.begun_at) == 100 + service.seconds


@in_virtual_time
async def test_nothing_is_made_twice_in_an_outage():
    """When the router's budget for retries is spent, slow calls and unreachable services are waited for and told."""
    budget = RetryBudget()
    while budget.failed():
        pass
    slow, gone = Service(5), Service((0, errors.Unavailable("gone")))
    assert await elapsed(hedging(budget), slow) == (0, 5)
    with pytest.raises(errors.Unavailable):
        await hedging(budget).call(gone.call, gone.second)
    assert (slow.seconds, gone.seconds) == (0, 0)


@in_virtual_time
async def test_who_gives_up_ends_both():
    """Cancelling the call cancels both, and they have ended."""
    service = Service(60)
    task = asyncio.create_task(hedging().call(service.call, service.second))
    await asyncio.sleep(3)
    assert service.running == 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (service.running, service.cancelled) == (0, 2)
