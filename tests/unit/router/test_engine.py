"""How graphs run: order, parallelism, the one deadline, the first failure, cancellation."""

import asyncio

import pytest

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.router.pipelines import engine
from services.router.pipelines.graph import parse

NEVER = 60


class FakeCaller:
    """Answers from functions by node; keeps what happened, in order."""

    def __init__(self, **answers):
        self._answers = answers
        self.events = []
        self.remaining = []

    async def call(self, node, scope, deadline):
        """The node's name in capitals, unless a function says otherwise."""
        self.events.append(f"{node} begins")
        self.remaining.append(deadline.remaining_seconds())
        try:
            answer = self._answers.get(node)
            result = await answer(scope) if answer else node.upper()
        except asyncio.CancelledError:
            self.events.append(f"{node} cancelled")
            raise
        self.events.append(f"{node} ends")
        return result


def graph(run):
    return parse(f"name: g\nsummary: S.\nrun: {run}\noutputs: {{x: {{value: '1', summary: S.}}}}", source="g.yaml")


def node(name):
    return f"{{node: {name}, call: x}}"


async def run(block, caller, seconds=10.0, **inputs):
    return await engine.run(graph(block), inputs, caller, Deadline.after(seconds))


async def forever(scope):
    await asyncio.sleep(NEVER)


async def test_sequence_keeps_its_order():
    """Each node begins when the one before it has ended, and sees its answer and the inputs."""
    seen = {}

    async def b(scope):
        seen.update(scope)

    caller = FakeCaller(b=b)
    finished = await run(f"{{sequence: [{node('a')}, {node('b')}]}}", caller, word="hello")
    assert caller.events == ["a begins", "a ends", "b begins", "b ends"]
    assert seen == {"inputs.word": "hello", "a": "A"}
    assert finished.scope["a"] == "A"


async def test_parallel_nodes_all_begin_before_any_ends():
    """Each waits until all others have begun, so that they can only finish together."""
    barrier = asyncio.Barrier(3)

    async def meet(scope):
        await barrier.wait()

    caller = FakeCaller(a=meet, b=meet, c=meet)
    finished = await run(f"{{parallel: [{node('a')}, {node('b')}, {{sequence: [{node('c')}]}}]}}", caller)
    assert caller.events[:3] == ["a begins", "b begins", "c begins"]
    assert [each.node for each in finished.nodes] == ["a", "b", "c"]


async def test_offsets_are_those_of_the_graph():
    """Nodes are listed as they began, and no node of a sequence begins before the one before it ended."""
    block = f"{{sequence: [{node('a')}, {{parallel: [{node('b')}, {node('c')}]}}, {node('d')}]}}"
    a, b, c, d = (await run(block, FakeCaller())).nodes
    assert [each.node for each in (a, b, c, d)] == ["a", "b", "c", "d"]
    assert 0 <= a.start_seconds <= a.end_seconds <= b.start_seconds <= c.start_seconds
    assert max(b.end_seconds, c.end_seconds) <= d.start_seconds <= d.end_seconds


async def test_the_first_failure_cancels_the_others_and_is_the_graph_s():
    """The failed node's error comes out with all its details and says where it happened; the rest never begins."""

    async def fail(scope):
        raise errors.Exhausted(
            "full",
            reason="TOO_MANY",
            metadata={"model": "m"},
            violations=[errors.Violation("f", "d")],
            retry_after_seconds=2,
        )

    caller = FakeCaller(a=forever, b=fail)
    block = f"{{sequence: [{{parallel: [{{parallel: [{node('a')}, {node('b')}]}}, {node('c')}]}}, {node('d')}]}}"
    with pytest.raises(errors.Exhausted) as caught:
        await run(block, caller)
    error = caught.value
    assert (error.message, error.reason, error.retry_after_seconds) == ("b: full", "TOO_MANY", 2)
    assert error.metadata == {"model": "m", "graph": "g", "node": "b"}
    assert error.violations == (errors.Violation("f", "d"),)
    assert "a cancelled" in caller.events
    assert "d begins" not in caller.events


async def test_a_failure_that_the_cancellation_caused_does_not_hide_the_first():
    """A node that fails while it is cancelled is not the reason."""

    async def fail(scope):
        raise errors.Unavailable("first")

    async def fail_late(scope):
        try:
            await forever(scope)
        except asyncio.CancelledError:
            raise errors.Internal("second") from None

    with pytest.raises(errors.Unavailable, match="first"):
        await run(f"{{parallel: [{node('a')}, {node('b')}]}}", FakeCaller(a=fail_late, b=fail))


async def test_a_bug_stays_a_bug():
    """What is no error of the domain passes through as it is, out of nested groups."""

    async def broken(scope):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run(f"{{parallel: [{{parallel: [{node('a')}]}}, {node('b')}]}}", FakeCaller(a=broken, b=forever))


async def test_cancelling_the_graph_cancels_every_node():
    """Nothing goes on when nobody waits for it."""
    begun = asyncio.Barrier(3)

    async def begin(scope):
        await begun.wait()
        await forever(scope)

    caller = FakeCaller(a=begin, b=begin)
    running = asyncio.create_task(run(f"{{parallel: [{node('a')}, {{sequence: [{node('b')}]}}]}}", caller))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted(caller.events[2:]) == ["a cancelled", "b cancelled"]


async def test_each_node_gets_the_time_that_remains():
    """One deadline covers the graph: a later node has less than an earlier one."""

    async def slow(scope):
        await asyncio.sleep(0.01)

    caller = FakeCaller(a=slow)
    await run(f"{{sequence: [{node('a')}, {node('b')}]}}", caller, seconds=5)
    first, second = caller.remaining
    assert second <= first - 0.009
    assert first <= 5


async def test_no_node_begins_after_the_deadline():
    """The error names the node that there was no time for."""
    deadline = Deadline.after(0.5)

    async def slow(scope):
        await asyncio.sleep(deadline.remaining_seconds() + 0.01)

    caller = FakeCaller(a=slow)
    with pytest.raises(errors.DeadlineExceeded) as caught:
        await engine.run(graph(f"{{sequence: [{node('a')}, {node('b')}]}}"), {}, caller, deadline)
    assert caught.value.metadata == {"graph": "g", "node": "b"}
    assert caller.events == ["a begins", "a ends"]
