"""How runs end: the first failure, optional nodes, cancellation, what is told of it."""

import asyncio

import pytest

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.router.pipelines.engine import Execution
from services.router.pipelines.engine.group import each, together
from services.router.pipelines.plan import Plan, Run
from tests.unit.router.pipelines.plans import (
    Known,
    Spans,
    call,
    execution,
    fails,
    fallback,
    parallel,
    run,
    sequence,
)
from tests.virtual_time import in_virtual_time


async def forever(scope):
    await asyncio.Event().wait()


async def test_the_first_failure_cancels_the_others_and_is_the_graph_s():
    """Its error comes out with all its details and says where it happened; what would come after never begins."""

    async def full(scope):
        raise errors.Exhausted(
            "full",
            reason="TOO_MANY",
            metadata={"model": "m"},
            violations=[errors.Violation("f", "d")],
            retry_after_seconds=2,
        )

    inner = parallel(parallel(call("a", forever), call("b", full)), call("c"))
    ran = execution(sequence(inner, call("d")))
    with pytest.raises(errors.Exhausted) as caught:
        await ran.execute({})
    error = caught.value
    assert (error.message, error.reason, error.retry_after_seconds) == ("b: full", "TOO_MANY", 2)
    assert error.metadata == {"model": "m", "graph": "g", "node": "b"}
    assert error.violations == (errors.Violation("f", "d"),)
    assert "a CancelledError" in ran.spans.seen
    assert "d begins" not in ran.spans.seen


async def test_a_failure_that_the_cancellation_caused_does_not_hide_the_first():
    """A node that fails while it is cancelled is not the reason."""

    async def fail_late(scope):
        try:
            await forever(scope)
        except asyncio.CancelledError:
            raise errors.Internal("second") from None

    with pytest.raises(errors.Unavailable, match=r"^b: "):
        await run(parallel(call("a", fail_late), fails("b")))


async def test_nothing_begins_in_the_turn_of_a_failure():
    """A node that could go on in the very turn of the loop in which another fails does not."""
    ready = asyncio.Event()

    async def fail(scope):
        ready.set()
        raise errors.Unavailable("it failed")

    async def wait(scope):
        await ready.wait()

    next_one = call("next")
    with pytest.raises(errors.Unavailable):
        await run(parallel(sequence(call("a", wait), next_one), call("b", fail)))
    assert next_one.caller.scopes == []


async def test_optional_nodes_fail_softly():
    """The value is empty, failed.NODE is true, and the record has the error; when it succeeds, it is false."""
    ran = execution(
        sequence(fails("a", optional=True), call("b", optional=True)), outputs=["a", "failed.a", "b", "failed.b"]
    )
    assert await ran.execute({}) == {"a": "", "failed.a": True, "b": "B", "failed.b": False}
    assert ran.run.nodes["a"].error.metadata == {"graph": "g", "node": "a"}
    assert ran.run.nodes["b"].error is None


async def test_a_bug_is_not_optional():
    """What is no error of the domain passes through as it is."""

    async def broken(scope):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run(parallel(parallel(call("a", broken, optional=True)), call("b", forever)))


async def test_cancelling_the_graph_cancels_every_node():
    """All have ended when the run has, and nothing begins any more."""
    begun = asyncio.Barrier(3)
    ended = []

    async def begin(scope):
        await begun.wait()
        try:
            await forever(scope)
        finally:
            await asyncio.sleep(0)
            ended.append(1)

    ran = execution(parallel(call("a", begin), sequence(call("b", begin), call("c"))))
    running = asyncio.create_task(ran.execute({}))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(ended) == 2
    assert ran.spans.seen[2:] == ["a CancelledError", "b CancelledError"]


@pytest.mark.parametrize("wrap", [sequence, lambda a, b: fallback("f", a, b)])
async def test_a_node_that_hides_its_cancellation_ends_the_run_all_the_same(wrap):
    """Neither as an optional one nor in a fallback is it followed by another."""

    async def hides(scope):
        try:
            await forever(scope)
        except asyncio.CancelledError:
            raise errors.Unavailable("hidden") from None

    other = call("b")
    running = asyncio.create_task(run(wrap(call("a", hides, optional=True), other)))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert other.caller.scopes == []


async def test_cancelled_twice_still_waits():
    """A second cancellation does not leave tasks behind that need time to end."""

    async def slow_to_end():
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)

    running = asyncio.create_task(together([slow_to_end, slow_to_end]))
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert asyncio.all_tasks() == {asyncio.current_task()}


@in_virtual_time
async def test_a_failed_group_leaves_its_task_uncancelled():
    """A timeout around a group that failed before is still recognised as one."""

    async def fail(item):
        raise errors.Unavailable("it failed")

    async def work():
        async with asyncio.timeout(1):
            with pytest.raises(errors.Unavailable):
                await each([1, 2], fail, at_once=2)
            await asyncio.sleep(2)

    with pytest.raises(TimeoutError):
        await work()


async def test_offsets_are_those_of_the_graph():
    """Nodes are recorded as they began, and none of a sequence begins before the one before it has ended."""
    ran = execution(sequence(call("a"), parallel(call("b"), call("c")), call("d")))
    await ran.execute({})
    a, b, c, d = ran.run.nodes.values()
    assert [record.node for record in (a, b, c, d)] == ["a", "b", "c", "d"]
    assert 0 <= a.start_seconds <= a.end_seconds <= b.start_seconds <= c.start_seconds
    assert max(b.end_seconds, c.end_seconds) <= d.start_seconds <= d.end_seconds
    assert a.runs == 1


async def test_outputs_that_have_no_value():
    """The error names the output and the graph."""

    def nothing(scope):
        raise errors.InvalidArgument("no such index")

    plan = Plan(graph="g", version="1", step=call("a"), stream_outputs=(), outputs={"x": nothing})
    ran = Execution(plan, Run("g"), Deadline.after(9), durations=Known(), observer=Spans())
    with pytest.raises(errors.InvalidArgument, match=r"^outputs.x: no such index$") as caught:
        await ran.execute({})
    assert caught.value.metadata == {"graph": "g"}
