"""Random trees of stages, with random delays, conditions, failures and cancellation, keep the rules of streams."""

import asyncio
import contextlib
import random
import zlib
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.router.pipelines.plan import StreamStep
from services.router.pipelines.streaming import run_stream
from services.router.pipelines.streaming.fan import BUFFER
from tests import virtual_time
from tests.unit.router.pipelines.streaming.fakes import (
    SOUND,
    FakeExecution,
    call,
    calls,
    collect,
    output,
    unary,
)

EXAMPLES = settings(max_examples=150, deadline=None, derandomize=True)
EMPTY = "empty"


def chance(salt, item, of):
    """Something between 0 and `of` that looks random and is always the same."""
    return zlib.crc32(f"{salt} {item}".encode()) % of


@dataclass(frozen=True)
class Node:
    """A stage. passes: one in so many items is passed over, 0: none. fails: one in so many fails, 0: none."""

    node: str
    source: str
    kind: str
    at_once: int
    passes: int
    fails: int
    optional: bool
    # Whether a call answers each request once.
    steady: bool = False

    def wants(self, item):
        return not self.passes or chance(f"{self.node} passes", item, self.passes) > 0

    def refuses(self, item):
        return self.fails and chance(f"{self.node} fails", item, self.fails) == 0

    def answers(self, item):
        """What a call makes of a request: nothing up to three answers."""
        return [(self.node, item, part) for part in range(1 if self.steady else chance(self.node, item, 4))]

    def holds(self):
        """Items that wait for it, that it works on, and that it takes ahead of those."""
        return BUFFER + 1 + (self.at_once if self.at_once > 1 else 0)


@st.composite
def trees(draw, *, passes=(0, 0, 2, 3), fails=(0,), steady=False):
    """Stages, sources first. Some sources have several takers, some none. passes, fails: see Node."""
    sources = [SOUND, "inputs.text"]
    nodes = []
    for number in range(draw(st.integers(1, 7))):
        kind = draw(st.sampled_from(["unary", "unary", "call", "calls", "collect"]))
        at_once = draw(st.sampled_from([1, 1, 2, 5])) if kind in {"unary", "calls"} else 1
        source = draw(st.sampled_from(sources))
        passes_over, failing = draw(st.sampled_from(passes)), draw(st.sampled_from(fails))
        node = Node(f"n{number}", source, kind, at_once, passes_over, failing, draw(st.booleans()), steady)
        nodes.append(node)
        if kind != "collect":
            sources.append(node.node)
    return nodes


class Runs:
    """A tree with delays that come from a seed, and what it should give."""

    def __init__(self, nodes, seed, sounds, texts):
        self.nodes = nodes
        self.random = random.Random(seed)
        self.open = 0
        self.items = {
            SOUND: [("sound", number) for number in range(sounds)],
            "inputs.text": [("text", number) for number in range(texts)],
        }
        self.inputs = {node.source for node in nodes if node.source in self.items}
        sources = [*self.inputs, *(node.node for node in nodes if node.kind != "collect")]
        outputs = [output(f"of {source}", source) for source in sources]
        self.step = StreamStep(stages=tuple(map(self.stage, nodes)))
        inputs = {name.removeprefix("inputs."): self.input(name) for name in self.inputs}
        self.execution = FakeExecution(self.step, outputs, **inputs)
        self.execution.emit = self.emit
        self.scope = {}

    async def pause(self):
        if self.random.random() < 0.8:
            await asyncio.sleep(self.random.choice([0, 0, 0.1, 0.2, 1, 7]))

    async def input(self, name):
        for item in self.items[name]:
            await self.pause()
            yield item

    async def emit(self, name, value):
        await self.pause()
        self.execution.emitted.append((name, value))

    def stage(self, node):
        async def work(scope):
            await self.pause()
            if node.refuses(scope[node.source]):
                raise errors.Unavailable("gone")
            return node.node, scope[node.source]

        def gives(scope):
            if node.refuses(scope[node.source]):
                raise errors.Unavailable("gone")
            return scope[node.source]

        def when(scope):
            return node.wants(scope[node.source])

        more = {"when": when if node.passes else None, "optional": node.optional}
        if node.kind == "unary":
            return unary(node.node, work, node.source, at_once=node.at_once, **more)
        if node.kind == "calls":
            return calls(node.node, _Caller(self, node), node.source, at_once=node.at_once, **more)
        if node.kind == "call":
            return call(node.node, _Caller(self, node), node.source, **more)
        return collect(node.node, node.source, most=10_000, gives=gives, **more)

    def go(self, *, seconds=1e6, cancel_after=None):
        """Run it, for so long. Gives how long it took."""

        async def main():
            began = asyncio.get_running_loop().time()
            self.execution.deadline = Deadline.after(seconds)
            running = asyncio.create_task(run_stream(self.execution, self.step, self.scope))
            if cancel_after is not None:
                await asyncio.sleep(cancel_after)
                running.cancel()
            await asyncio.wait({running})
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert self.open == 0
            return running, asyncio.get_running_loop().time() - began

        running, took = virtual_time.run(main())
        running.result()
        return took

    def expected(self):
        """What each output and list gives, and the nodes whose failure ends the run, before which these are all."""
        gives, lists, ends = dict(self.items), {}, set()
        for node in self.nodes:
            made = []
            for item in gives[node.source]:
                if not node.wants(item):
                    continue
                if node.refuses(item):
                    if not node.optional:
                        ends.add(node.node)
                        break
                    if node.kind == "call":
                        break
                    if node.kind == "collect":
                        made = []
                        break
                    made.append(EMPTY)
                    continue
                if node.kind in {"call", "calls"}:
                    made += node.answers(item)
                else:
                    made.append((node.node, item) if node.kind == "unary" else item)
            (lists if node.kind == "collect" else gives)[node.node] = made
        return {f"of {name}": gives[name] for name in (*self.inputs, *gives) if name in self.used()}, lists, ends

    def used(self):
        return {*self.inputs, *(node.node for node in self.nodes)}


class _Caller:
    """A service that answers each request, and refuses some."""

    def __init__(self, runs, node):
        self.runs = runs
        self.node = node

    async def open(self, requests, deadline, run):
        self.runs.open += 1
        try:
            async for request in requests:
                await self.runs.pause()
                if self.node.refuses(request):
                    raise errors.Unavailable("gone")
                for answer in self.node.answers(request):
                    await self.runs.pause()
                    yield answer
        finally:
            self.runs.open -= 1


counts = st.integers(0, 40)
seeds = st.integers(0, 2**32)


def prefixes(runs, outputs):
    """Check that what came is what would have come, in order, without a gap."""
    for name, values in outputs.items():
        came = runs.execution.of(name)
        assert came == values[: len(came)]


@EXAMPLES
@given(trees(), seeds, counts, counts)
def test_no_item_is_lost_or_doubled(nodes, seed, sounds, texts):
    """Every output and list has exactly what the items of its source give, in their order; nothing is left running."""
    runs = Runs(nodes, seed, sounds, texts)
    runs.go()
    outputs, lists, _ = runs.expected()
    assert {name: runs.execution.of(name) for name in outputs} == outputs
    assert {name: runs.scope[name] for name in lists} == lists
    assert not any(runs.scope[f"failed.{node.node}"] for node in nodes if node.optional)


@EXAMPLES
@given(trees(fails=(0, 0, 7)), seeds, counts, counts)
def test_failures(nodes, seed, sounds, texts):
    """A node that may fail only changes what it gives itself; of the others the first failure ends everything."""
    runs = Runs(nodes, seed, sounds, texts)
    outputs, lists, ends = runs.expected()
    if ends:
        with pytest.raises(errors.Unavailable) as caught:
            runs.go()
        assert caught.value.metadata["node"] in ends
        prefixes(runs, outputs)
        return
    runs.go()
    assert {name: runs.execution.of(name) for name in outputs} == outputs
    assert {name: runs.scope[name] for name in lists} == lists
    failed = {node for node, _ in runs.execution.errors}
    for node in nodes:
        if node.optional:
            assert runs.scope[f"failed.{node.node}"] is (node.node in failed)


@EXAMPLES
@given(trees(), seeds, counts, counts, st.floats(0, 100))
def test_cancellation(nodes, seed, sounds, texts, after):
    """A run that is cancelled at any moment leaves no task and no open call, and what came has no gap."""
    runs = Runs(nodes, seed, sounds, texts)
    with contextlib.suppress(asyncio.CancelledError):
        runs.go(cancel_after=after)
    prefixes(runs, runs.expected()[0])


@EXAMPLES
@given(trees(), seeds, counts, counts, st.floats(0, 100))
def test_deadline(nodes, seed, sounds, texts, seconds):
    """A run ends at its deadline at the latest, and then leaves nothing either."""
    runs = Runs(nodes, seed, sounds, texts)
    try:
        assert runs.go(seconds=seconds) <= seconds
    except errors.DeadlineExceeded:
        prefixes(runs, runs.expected()[0])


@EXAMPLES
@given(trees(passes=(0,), steady=True), seeds, st.data())
def test_buffers_are_bounded(nodes, seed, data):
    """When one output stands still, only as many items are taken as fit before it on the way from its input."""
    runs = Runs(nodes, seed, 200, 200)
    stuck = data.draw(st.sampled_from([each.name for each in runs.execution.plan.stream_outputs]))
    by_name = {node.node: node for node in nodes}
    place, most = stuck.removeprefix("of "), BUFFER + 2
    while place in by_name:
        most += by_name[place].holds()
        place = by_name[place].source
    taken = 0
    items = runs.execution.streams[place]

    async def counted():
        nonlocal taken
        async for item in items:
            taken += 1
            yield item

    async def emit(name, value):
        if name == stuck:
            await asyncio.Event().wait()

    runs.execution.emit = emit
    runs.execution.streams[place] = counted()
    # Long enough for all the others to end.
    with pytest.raises(errors.DeadlineExceeded):
        runs.go()
    assert BUFFER < taken <= most
