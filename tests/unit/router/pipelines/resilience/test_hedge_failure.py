"""A hedged call whose first attempt fails."""

from __future__ import annotations

import asyncio

import pytest

from services.mesh import errors
from services.router.pipelines.graph import Hedge
from services.router.pipelines.resilience.hedge import Hedging
from services.router.pipelines.resilience.retry import RetryBudget

# Longer than any test waits: a second call begins because of a failure, or not at all.
LATE = "600s"


class Service:
    """Answers what it is told to, one after the other; errors are raised."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.seconds = 0

    async def call(self):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def second(self):
        self.seconds += 1


def hedging(share=0.5):
    return Hedging(Hedge.model_validate({"after": LATE, "share": share}), RetryBudget())


async def test_an_unreachable_service_is_asked_again_at_once():
    """UNAVAILABLE before the second call began lets it begin; its answer counts."""
    service = Service(errors.Unavailable("gone"), "here")
    assert await hedging().call(service.call, service.second) == "here"
    assert service.seconds == 1


async def test_both_unreachable():
    """The last failure is raised; there is no third call."""
    service = Service(errors.Unavailable("gone"), errors.Unavailable("still gone"), "here")
    with pytest.raises(errors.Unavailable, match="still gone"):
        await hedging().call(service.call, service.second)
    assert (service.seconds, service.answers) == (1, ["here"])


async def test_another_failure_is_raised():
    """It would be the same the second time."""
    service = Service(errors.InvalidArgument.field("text", "is empty"), "here")
    with pytest.raises(errors.InvalidArgument):
        await hedging().call(service.call, service.second)
    assert service.seconds == 0


async def test_an_outage_does_not_double_the_load():
    """The share of second calls holds for failures, too: one at the start, and then one of ten."""
    service = Service(*[errors.Unavailable("gone")] * 200)
    hedged = hedging(share=0.1)
    for _ in range(100):
        with pytest.raises(errors.Unavailable):
            await hedged.call(service.call, service.second)
    assert 9 <= service.seconds <= 11


async def test_an_answer_goes_before_a_failure_of_the_same_moment():
    """Whichever of the two calls it came from."""
    go, loop = asyncio.Event(), asyncio.get_running_loop()
    hedged = Hedging(Hedge.model_validate({"after": "0.01s", "share": 0.5}), RetryBudget())

    async def call(answers):
        answer = answers.pop(0)
        await go.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer

    for answers in ([errors.Internal("broken"), "here"], ["here", errors.Internal("broken")]):
        go.clear()
        assert (
            await hedged.call(lambda given=answers: call(given), lambda: loop.call_soon(loop.call_soon, go.set))
            == "here"
        )
