"""Random plans with random delays, failures, deadlines and cancellation keep the rules of the engine."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.mesh import errors
from tests import virtual_time
from tests.unit.router.pipelines.plans import execution
from tests.unit.router.pipelines.random_plans import TICK, plans
from tests.unit.router.pipelines.reference import Reference

TIMES = st.integers(1, 60).map(lambda ticks: ticks * TICK)
EXAMPLES = settings(max_examples=200, deadline=None, derandomize=True)


@EXAMPLES
@given(plans(pressure=False))
def test_values_are_those_of_a_simple_interpreter(made):
    """A run gives what its plan gives without time, and fails when that does; no call is lost or made twice."""
    step, adds, world, known = made

    def run():
        return virtual_time.run(execution(step, 1000.0, outputs=adds, known=known).execute({"score": 1.0}))

    reference, scope = Reference(), {"inputs.score": 1.0}
    try:
        reference.run(step, scope)
    except errors.MeshError as error:
        with pytest.raises(type(error)):
            run()
        return
    assert run() == {name: scope[name] for name in adds}
    assert Counter(world.calls) <= Counter(reference.calls)
    if not reference.failed:
        assert Counter(world.calls) == Counter(reference.calls)


@EXAMPLES
@given(plans(pressure=True), TIMES, st.none() | TIMES)
def test_rules_under_pressure(made, seconds, cancelled_after):
    """It ends in time, with all that it began; nothing begins after that; what comes out says where it happened."""
    check(made, seconds, cancelled_after)


@EXAMPLES
@given(plans(pressure=True), st.integers(0, 20).map(lambda ticks: ticks * TICK))
def test_rules_of_cancellation(made, cancelled_after):
    """The same with time enough: what is cancelled ends at once, and as cancelled."""
    check(made, 1000.0, cancelled_after)


def check(made, seconds, cancelled_after):
    """Run a plan, and look at all that happened."""
    step, adds, world, known = made

    async def main():
        loop = asyncio.get_running_loop()
        began = loop.time()
        run = execution(step, seconds, outputs=adds, known=known)
        running = asyncio.create_task(run.execute({"score": 1.0}))
        if cancelled_after is not None:
            loop.call_later(cancelled_after, running.cancel)
        await asyncio.wait([running])
        ended = loop.time() - began
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert world.under_way == 0
        by_cancellation = cancelled_after is not None and cancelled_after <= ended
        ends = min(seconds, cancelled_after) if by_cancellation else seconds
        assert ended <= ends + TICK
        assert all(at - began <= ends for at in world.began)
        assert all(each <= began + seconds for each in world.deadlines)
        assert world.latest <= TICK
        if by_cancellation and cancelled_after < ended:
            assert running.cancelled()
        if running.cancelled():
            assert by_cancellation
        elif error := running.exception():
            assert isinstance(error, errors.MeshError)
            assert error.metadata["graph"] == "g"
        else:
            assert set(running.result()) == set(adds)
            for name in adds:
                record = run.run.nodes.get(name)
                if running.result().get(f"failed.{name}"):
                    assert record.error is not None

    virtual_time.run(main())
