"""Calls that are made again, on a virtual clock."""

import asyncio

import pytest

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.router.pipelines.graph import Retry
from services.router.pipelines.resilience.breaker import CIRCUIT_OPEN
from services.router.pipelines.resilience.retry import RetryBudget, Retrying
from tests.virtual_time import in_virtual_time

AWAY = errors.Unavailable("away")


class Service:
    """Fails as told, then answers; keeps when it was asked."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.asked_at = []

    async def __call__(self):
        self.asked_at.append(asyncio.get_running_loop().time())
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


async def call(service, seconds=60.0, budget=None, again=lambda _: None, **policy):
    retrying = Retrying(Retry.model_validate(policy), budget or RetryBudget())
    return await retrying.call(service, Deadline.after(seconds), again)


@in_virtual_time
async def test_what_passes_is_not_seen():
    """Two failures and then an answer are an answer; each further attempt is told, and what it is made for."""
    service, told = Service(AWAY, AWAY), []
    assert await call(service, again=told.append) == "answer"
    assert (len(service.asked_at), told) == (3, [AWAY, AWAY])


@in_virtual_time
async def test_attempts_are_bounded():
    """The third failure is the caller's."""
    service = Service(AWAY, AWAY, AWAY, AWAY)
    with pytest.raises(errors.Unavailable):
        await call(service)
    assert len(service.asked_at) == 3


@pytest.mark.parametrize(
    "error", [errors.InvalidArgument("no"), errors.DeadlineExceeded("late"), errors.Internal("bug")]
)
@in_virtual_time
async def test_other_failures_are_told_at_once(error):
    """Only the codes of the policy are tried again."""
    service = Service(error)
    with pytest.raises(type(error)):
        await call(service)
    assert len(service.asked_at) == 1


@in_virtual_time
async def test_codes_are_the_author_s():
    """A policy may list others, and leave UNAVAILABLE out."""
    assert await call(Service(errors.Internal("bug")), codes=["INTERNAL"]) == "answer"
    with pytest.raises(errors.Unavailable):
        await call(Service(AWAY), codes=["INTERNAL"])


@in_virtual_time
async def test_waits_are_random_within_bounds_that_double():
    """Waits of many calls lie between nothing and the back-off, which doubles up to its maximum."""
    longest = [0.0, 0.0, 0.0, 0.0]
    for _ in range(200):
        service = Service(AWAY, AWAY, AWAY, AWAY)
        await call(service, budget=Rich(), attempts=5, backoff="1s", max_backoff="3s")
        waits = [after - before for before, after in zip(service.asked_at, service.asked_at[1:], strict=False)]
        longest = [max(pair) for pair in zip(longest, waits, strict=True)]
    for found, bound in zip(longest, (1, 2, 3, 3), strict=True):
        assert 0.8 * bound < found <= bound


@in_virtual_time
async def test_no_wait_goes_beyond_the_deadline():
    """A full queue that asks for more time than there is fails at once."""
    service = Service(errors.Exhausted("full", retry_after_seconds=5))
    with pytest.raises(errors.Exhausted):
        await call(service, seconds=4, codes=["RESOURCE_EXHAUSTED"])
    assert len(service.asked_at) == 1


@in_virtual_time
async def test_a_full_queue_is_given_the_time_that_it_asks_for():
    """The second attempt comes no earlier than RetryInfo says."""
    service = Service(errors.Exhausted("full", retry_after_seconds=5))
    assert await call(service, codes=["RESOURCE_EXHAUSTED"]) == "answer"
    assert service.asked_at[1] - service.asked_at[0] == 5


@in_virtual_time
async def test_an_open_circuit_is_not_asked_again():
    """It would be refused again a moment later."""
    service = Service(errors.Unavailable("open", reason=CIRCUIT_OPEN))
    with pytest.raises(errors.Unavailable):
        await call(service)
    assert len(service.asked_at) == 1


@in_virtual_time
async def test_retries_do_not_multiply_an_outage():
    """When all fails, a thousand calls are little more than a thousand attempts; when it is over, retries come back."""
    budget, asked = RetryBudget(), 0
    for _ in range(1000):
        service = Service(AWAY, AWAY, AWAY)
        with pytest.raises(errors.Unavailable):
            await call(service, budget=budget)
        asked += len(service.asked_at)
    assert 1000 < asked < 1100
    for _ in range(1000):
        await call(Service(), budget=budget)
    assert await call(Service(AWAY), budget=budget) == "answer"


@in_virtual_time
async def test_every_failure_costs():
    """Also of calls that are made once, so that those of other nodes are not made again either."""
    budget = RetryBudget()
    for _ in range(50):
        with pytest.raises(errors.Unavailable):
            await call(Service(AWAY), budget=budget, attempts=1)
    service = Service(AWAY)
    with pytest.raises(errors.Unavailable):
        await call(service, budget=budget)
    assert len(service.asked_at) == 1


@in_virtual_time
async def test_a_place_that_the_caller_named_costs_nothing():
    """Whoever sends addresses that nobody answers at does not take the retries of others."""
    budget, silent = RetryBudget(), errors.Unavailable("example.org does not answer", reason="MEDIA_UNAVAILABLE")
    for _ in range(200):
        with pytest.raises(errors.Unavailable):
            await call(Service(silent, silent, silent), budget=budget)
    assert await call(Service(AWAY), budget=budget) == "answer"


class Rich(RetryBudget):
    """A budget without an end."""

    def failed(self):
        return True
