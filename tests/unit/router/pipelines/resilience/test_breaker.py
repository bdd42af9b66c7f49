"""Circuit breakers, on a virtual clock."""

import asyncio

import pytest

from services.mesh import errors
from services.router.pipelines.resilience.breaker import Breaker, Breakers
from tests.virtual_time import in_virtual_time


class Service:
    """Well or sick; counts its calls."""

    def __init__(self):
        self.error = None
        self.calls = 0

    async def __call__(self):
        self.calls += 1
        if self.error:
            raise self.error
        return "answer"


async def reason(breaker, service):
    """How a call ends: "answer" or the reason of its error."""
    try:
        return await breaker.call(service)
    except errors.MeshError as error:
        return error.reason


async def opened():
    breaker, service = Breaker("nlp"), Service()
    service.error = errors.Unavailable("gone")
    for _ in range(10):
        await reason(breaker, service)
    return breaker, service


@in_virtual_time
async def test_it_opens_after_failures_and_asks_nothing():
    """Ten failures open it; the next call is refused with a time to come back, and the service not asked."""
    breaker, service = await opened()
    with pytest.raises(errors.Unavailable) as caught:
        await breaker.call(service)
    assert caught.value.reason == "CIRCUIT_OPEN"
    assert 0 < caught.value.retry_after_seconds <= 1.2
    assert (service.calls, breaker.is_open) == (10, True)


@in_virtual_time
async def test_half_of_the_calls_must_fail():
    """Four failures of ten calls leave it closed, however long that goes on."""
    breaker, service = Breaker("nlp"), Service()
    for number in range(40):
        service.error = errors.Unavailable("gone") if number % 5 in {2, 4} else None
        await reason(breaker, service)
    assert not breaker.is_open


@pytest.mark.parametrize(
    "error", [errors.InvalidArgument("no"), errors.Exhausted("full"), errors.DeadlineExceeded("late")]
)
@in_virtual_time
async def test_callers_faults_and_full_queues_do_not_open_it(error):
    """They tell nothing of a sick service."""
    breaker, service = Breaker("nlp"), Service()
    service.error = error
    for _ in range(50):
        await reason(breaker, service)
    assert (service.calls, breaker.is_open) == (50, False)


@in_virtual_time
async def test_a_place_that_the_caller_named_is_no_part_of_the_mesh():
    """Whoever sends addresses that nobody answers at does not close a service to others."""
    breaker, service = Breaker("vision"), Service()
    service.error = errors.Unavailable("example.org does not answer", reason="MEDIA_UNAVAILABLE")
    for _ in range(50):
        await reason(breaker, service)
    assert (service.calls, breaker.is_open) == (50, False)


@in_virtual_time
async def test_calls_that_were_not_waited_for_tell_nothing():
    """They are no successes either: failures among them open it."""
    breaker, service = Breaker("nlp"), Service()
    for number in range(30):
        service.error = errors.DeadlineExceeded("late") if number % 3 else errors.Unavailable("gone")
        await reason(breaker, service)
    assert breaker.is_open


@in_virtual_time
async def test_old_failures_do_not_count():
    """Nine failures, and one after ten seconds, leave it closed."""
    breaker, service = Breaker("nlp"), Service()
    service.error = errors.Unavailable("gone")
    for _ in range(9):
        await reason(breaker, service)
    await asyncio.sleep(11)
    await reason(breaker, service)
    assert not breaker.is_open


@in_virtual_time
@pytest.mark.parametrize("well", [True, False])
async def test_one_call_finds_out(well):
    """After its time one call goes through; the others wait for how it ends, and go too or are refused."""
    breaker, service = await opened()
    await asyncio.sleep(1.5)
    service.error = None if well else service.error
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow():
        begun.set()
        await go_on.wait()
        return await service()

    probe = asyncio.create_task(breaker.call(slow))
    await begun.wait()
    other = asyncio.create_task(reason(breaker, service))
    await asyncio.sleep(0.1)
    assert not other.done()
    go_on.set()
    assert await other == ("answer" if well else "CIRCUIT_OPEN")
    assert breaker.is_open is not well
    await asyncio.gather(probe, return_exceptions=True)


@in_virtual_time
async def test_two_nodes_of_a_graph_that_ask_the_same():
    """Both run at the same time, and one that failed would cancel the other, which finds out that all is well."""
    breaker, service = await opened()
    await asyncio.sleep(1.5)
    service.error = None
    async with asyncio.TaskGroup() as graph:
        nodes = [graph.create_task(breaker.call(service)) for _ in range(2)]
    assert [node.result() for node in nodes] == ["answer", "answer"]
    assert not breaker.is_open


@in_virtual_time
async def test_it_stays_open_longer_each_time():
    """A probe that fails doubles the time, up to half a minute or so."""
    breaker, service = await opened()
    for _ in range(12):
        await asyncio.sleep(40)
        assert await reason(breaker, service) == "UNAVAILABLE"
        assert await reason(breaker, service) == "CIRCUIT_OPEN"
    await asyncio.sleep(20)
    assert await reason(breaker, service) == "CIRCUIT_OPEN"


@in_virtual_time
async def test_a_probe_that_is_cancelled_lets_another_try():
    """The next call is the probe then."""
    breaker, service = await opened()
    await asyncio.sleep(1.5)
    service.error = None

    async def forever():
        await asyncio.Event().wait()

    probe = asyncio.create_task(breaker.call(forever))
    await asyncio.sleep(0)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    assert await reason(breaker, service) == "answer"


@in_virtual_time
async def test_a_probe_that_is_late_lets_another_try():
    """It tells neither that the service is well nor that it is not."""
    breaker, service = await opened()
    await asyncio.sleep(1.5)
    service.error = errors.DeadlineExceeded("late")
    assert (await reason(breaker, service), breaker.is_open) == ("DEADLINE_EXCEEDED", True)
    service.error = None
    assert (await reason(breaker, service), breaker.is_open) == ("answer", False)


def test_each_service_and_model_has_its_own():
    """The same for the same, another for another model."""
    breakers = Breakers()
    assert breakers.of("nlp", "a") is breakers.of("nlp", "a")
    assert breakers.of("nlp", "a") is not breakers.of("nlp", "b")
    assert breakers.open_count() == 0


def test_those_asked_last_are_kept():
    """Names of models come from callers, so that there may be any number of them."""
    breakers = Breakers()
    first, second = breakers.of("nlp", "0"), breakers.of("nlp", "1")
    for number in range(2, 1025):
        breakers.of("nlp", "0")
        breakers.of("nlp", str(number))
    assert breakers.of("nlp", "0") is first
    assert breakers.of("nlp", "1") is not second
