"""One deadline for all: what each node gets of it, what is not begun, what is refused."""

import asyncio

import pytest

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.router.pipelines.budget import predicted_seconds
from services.router.pipelines.durations import LearntDurations
from services.router.pipelines.plan import Plan
from tests.unit.router.pipelines.plans import (
    Known,
    call,
    execution,
    fallback,
    mapping,
    parallel,
    privacy,
    run,
    sequence,
    switch,
    value,
    way,
)
from tests.virtual_time import BEGIN_SECONDS, in_virtual_time


def takes(seconds):
    async def do(scope):
        await asyncio.sleep(seconds)
        return "done"

    return do


def given(step):
    """When a call was to have ended, from the beginning."""
    (deadline,) = step.caller.deadlines
    return deadline.monotonic_seconds - BEGIN_SECONDS


def now():
    return asyncio.get_running_loop().time() - BEGIN_SECONDS


@in_virtual_time
async def test_one_deadline_covers_the_graph():
    """Nodes of which nothing is known have all the time that remains."""
    a, b = call("a", takes(1)), call("b", takes(1))
    await run(sequence(a, b), seconds=8)
    assert (given(a), given(b)) == (8, 8)


@in_virtual_time
async def test_the_graph_s_deadline():
    """It ends what is under way, cannot be caught inside, and names the node that began last."""
    unused = call("c")
    step = fallback("f", sequence_of("b", call("a", takes(1)), call("b", takes(60))), unused, optional=True)
    with pytest.raises(errors.DeadlineExceeded, match=r"^b: the deadline passed") as caught:
        await run(step, seconds=8)
    assert now() == 8
    assert (caught.value.reason, caught.value.metadata) == ("DEADLINE_EXCEEDED", {"graph": "g", "node": "b"})
    assert unused.caller.scopes == []


def sequence_of(gives, *steps):
    """A node that is a sequence, of which it gives one value."""
    return switch("s", (lambda scope: True, way(sequence(*steps), value(gives))))


@in_virtual_time
async def test_no_time_at_all():
    """Nothing begins when the deadline has passed before."""
    a = call("a")
    with pytest.raises(errors.DeadlineExceeded) as caught:
        await run(a, seconds=0)
    assert caught.value.metadata == {"graph": "g"}
    assert a.caller.scopes == []


@in_virtual_time
async def test_a_node_s_timeout():
    """It is the node's own failure, which a fallback or `optional` takes up."""
    a, b = call("a", takes(60), timeout=2), call("b", takes(1))
    ran = execution(fallback("f", a, b), 8, outputs=["f"])
    assert await ran.execute({}) == {"f": "done"}
    assert now() == 3
    assert given(a) == 2
    error = ran.run.nodes["a"].error
    assert (error.reason, error.metadata) == ("NODE_TIMEOUT", {"graph": "g", "node": "a"})


@in_virtual_time
async def test_a_timeout_of_a_block_covers_what_is_inside():
    """Calls inside are made with it, and are cancelled by it."""
    inner = call("a", takes(60))
    with pytest.raises(errors.DeadlineExceeded, match=r"^m: ") as caught:
        await run(mapping("m", [1], inner, timeout=2), seconds=8)
    assert (now(), given(inner), caught.value.reason) == (2, 2, "NODE_TIMEOUT")


@in_virtual_time
async def test_a_timeout_after_a_failed_parallel():
    """It is recognised as the node's even when nodes were cancelled before in the same task."""
    broken = switch("s", (lambda scope: True, way(parallel(call("x", fail), call("y", takes(9))), value("x"))))
    step = fallback("f", broken, call("b", takes(60)), timeout=4, optional=True)
    assert await run(step, "failed.f", seconds=8) == {"failed.f": True}
    assert now() == 4


async def fail(scope):
    await asyncio.sleep(1)
    raise errors.Unavailable("it failed")


@in_virtual_time
async def test_shares_are_parts_of_the_whole():
    """A node with a share gets that of the whole time, and those before it leave it."""
    a, b, c = call("a", takes(1)), call("b", takes(1), share=0.25), call("c", share=0.5)
    await run(sequence(a, b, c), seconds=16)
    assert (given(a), given(b), given(c)) == (4, 1 + 4, 2 + 8)


@in_virtual_time
async def test_what_follows_is_left_what_it_usually_takes():
    """A node gets what remains when those after it have their medians: their sum in a sequence, the longest beside."""
    a, last = call("a"), call("z")
    following = parallel(call("b"), sequence(call("c"), call("d")))
    known = Known({"b": 1.0, "c": 2.0, "d": 0.5, "z": 3.0})
    await run(sequence(sequence(a), following, last), seconds=16, known=known)
    assert given(a) == 16 - 2.5 - 3
    assert given(following.steps[0]) == 16 - 3
    assert given(last) == 16


@in_virtual_time
async def test_too_little_for_all_is_split_by_need():
    """Each gets in proportion to what it usually takes."""
    a = call("a")
    await run(sequence(a, call("b")), seconds=4, known=Known({"a": 2.0, "b": 6.0}))
    assert given(a) == 1


@in_virtual_time
async def test_a_node_that_cannot_make_it_is_not_begun():
    """It fails with what it would take, which `optional` takes up like any failure."""
    a, b = call("a", takes(6)), call("b", optional=True)
    known = Known(shortest={"b": 3.0})
    ran = execution(sequence(a, b), 8, outputs=["failed.b"], known=known)
    assert await ran.execute({}) == {"failed.b": True}
    assert b.caller.scopes == []
    record = ran.run.nodes["b"]
    assert (record.error.reason, record.runs) == ("BUDGET_TOO_SHORT", 0)
    assert record.error.message == "b: it takes 3.00 s at least and would have 2.00 s: it is not begun"


@in_virtual_time
async def test_a_graph_that_would_be_late_is_refused():
    """When even the shortest runs of its nodes take longer than there is time, none begins."""
    a = call("a")
    known = Known(usual={"a": 4.0, "b": 9.0}, shortest={"a": 2.0, "b": 7.0})
    with pytest.raises(errors.Exhausted) as caught:
        await run(sequence(a, call("b")), seconds=8, known=known)
    error = caught.value
    assert (error.reason, error.retry_after_seconds) == ("GRAPH_WOULD_BE_LATE", 5)
    assert error.metadata == {"graph": "g", "predicted_seconds": "13.000"}
    assert a.caller.scopes == []


@pytest.mark.parametrize(("usual", "told"), [(8.5, 1), (500.0, 30)])
@in_virtual_time
async def test_when_to_come_back(usual, told):
    """Between one second and thirty."""
    with pytest.raises(errors.Exhausted) as caught:
        await run(call("a"), seconds=8, known=Known({"a": usual}, {"a": 8.25}))
    assert caught.value.retry_after_seconds == told


@in_virtual_time
async def test_what_is_optional_or_a_list_refuses_nothing():
    """A graph may succeed without its optional nodes, and a map takes as long as its list."""
    known = Known(shortest={"a": 20.0, "m": 20.0})
    step = sequence(call("a", optional=True), mapping("m", [1], call("x")))
    assert await run(step, "failed.a", "m", seconds=8, known=known) == {"failed.a": True, "m": ["X"]}


@pytest.mark.parametrize(
    ("step", "seconds"),
    [
        (call("a"), 1.0),
        (call("unknown"), None),
        (sequence(call("a"), call("unknown"), call("b")), 3.0),
        (parallel(call("a"), call("b")), 2.0),
        (parallel(call("a"), call("b"), call("c"), quorum=2), 2.0),
        (mapping("m", [], call("a")), 1.0),
        (mapping("b", [], call("a")), 2.0),
        (privacy("p", call("a")), 1.0),
        (fallback("f", call("a"), call("b")), None),
        (fallback("c", call("a"), call("b")), 4.0),
    ],
)
def test_prediction(step, seconds):
    """The medians of the nodes, of a block as a whole when that ran; a choice is not known."""
    plan = Plan(graph="g", version="1", step=step, stream_outputs=(), outputs={})
    assert predicted_seconds(plan, Known({"a": 1.0, "b": 2.0, "c": 4.0})) == seconds


@in_virtual_time
async def test_durations_are_learnt_from_what_succeeds():
    """Each node's own; failures say nothing."""
    known = Known()
    await run(sequence(call("a", takes(2)), call("b", fail, optional=True)), known=known)
    assert known.added == [("a", 2)]


@in_virtual_time
async def test_quantiles_of_the_last_minute():
    """Known from five runs on; the median, and what nine of ten took at least; forgotten after a minute."""
    learnt = LearntDurations()
    for seconds in range(4):
        learnt.add("g", "a", seconds)
    assert learnt.usual("g", "a") is learnt.shortest("g", "a") is learnt.usual("g", "b") is None
    for seconds in range(4, 20):
        learnt.add("g", "a", seconds)
    await asyncio.sleep(1)
    assert (learnt.usual("g", "a"), learnt.shortest("g", "a")) == (10, 2)
    assert learnt.usual("other", "a") is None
    await asyncio.sleep(60)
    assert learnt.usual("g", "a") is None


def test_nodes_that_did_not_run_for_long_are_forgotten():
    """What is learnt has a bound: of 4096 nodes, those that ran last."""
    learnt = LearntDurations()
    for node in ["old", "kept", *map(str, range(4094)), "kept", "new"]:
        for _ in range(5):
            learnt.add("g", node, 1.0)
    assert [learnt.usual("g", node) for node in ("old", "kept", "new")] == [None, 1.0, 1.0]


@in_virtual_time
async def test_the_router_heals_from_slow_times():
    """A graph that was refused is tried again when a minute has passed."""
    learnt = LearntDurations()
    for _ in range(9):
        learnt.add("g", "a", 20.0)
    with pytest.raises(errors.Exhausted):
        await run(call("a"), seconds=8, known=learnt)
    await asyncio.sleep(61)
    assert await run(call("a"), "a", seconds=8, known=learnt) == {"a": "A"}


@in_virtual_time
async def test_stages_of_a_stream_have_the_run_s_deadline():
    """What is asked for a call that is a stream is what a node gets that begins now."""
    ran = execution(call("a"), 8)
    assert ran.limit(call("x")) == Deadline(BEGIN_SECONDS + 8)
    assert ran.limit(call("x", timeout=2)) == Deadline(BEGIN_SECONDS + 2)
