"""A run of a graph with functions for nodes, and services whose calls are streams."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import contextmanager
from dataclasses import dataclass, field

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.router.pipelines.plan import (
    CollectStep,
    NamedStep,
    Plan,
    Run,
    Stage,
    StreamCallStep,
    StreamOutput,
    StreamStep,
)
from services.router.pipelines.streaming import run_stream

SOUND = "inputs.sound"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work(NamedStep):
    """A unary node that is a function of its scope."""

    do: Callable[[dict], Awaitable[object]]


class FakeExecution:
    """Runs `Work`; keeps what was emitted, and which nodes ran and failed, in order."""

    def __init__(self, step, outputs=(), seconds=60.0, **streams):
        self.plan = Plan(graph="g", version="1", step=step, stream_outputs=tuple(outputs), outputs={})
        self.run = Run("g")
        self.deadline = Deadline.after(seconds)
        self.streams = {f"inputs.{name}": aiter(items) for name, items in streams.items()}
        self.emitted = []
        self.began = []
        self.errors = []

    async def emit(self, name, value):
        self.emitted.append((name, value))

    def limit(self, step):
        return self.deadline

    async def node(self, step, scope):
        try:
            with self.watched(step):
                scope[step.node] = await step.do(scope)
        except errors.MeshError:
            if not step.optional:
                raise
            scope[step.node], scope[f"failed.{step.node}"] = step.empty(), True

    @contextmanager
    def watched(self, step):
        self.began.append(step.node)
        try:
            yield
        except errors.MeshError as error:
            self.errors.append((step.node, error))
            error.metadata |= {"graph": "g", "node": step.node}
            raise

    def of(self, name):
        """The items that an output gave."""
        return [value for each, value in self.emitted if each == name]


@dataclass
class Service:
    """A service with a stream: answers every request by what a function makes of it, as a list or an async generator.

    ends_after: requests until it ends its answers. fails_after: until it fails. closed: calls whose generator is gone.
    """

    answers: Callable[[object], list] = lambda request: [request]
    ends_after: int | None = None
    fails_after: int | None = None
    at_end: list = field(default_factory=list)
    received: list = field(default_factory=list)
    opened: int = 0
    closed: int = 0

    async def open(self, requests, deadline, run):
        self.opened += 1
        here = 0
        try:
            if self.ends_after == 0:
                return
            async for request in requests:
                self.received.append(request)
                here += 1
                if self.fails_after is not None and here > self.fails_after:
                    raise errors.Unavailable("gone")
                for answer in self.answers(request):
                    await asyncio.sleep(0)
                    yield answer
                if here == self.ends_after:
                    return
            for answer in self.at_end:
                yield answer
        finally:
            self.closed += 1


async def source(*items) -> AsyncIterator[object]:
    """Items one after the other."""
    for item in items:
        await asyncio.sleep(0)
        yield item


def never():
    return asyncio.Event().wait()


def value(name):
    return lambda scope: scope[name]


def unary(node, do, source=SOUND, *, when=None, at_once=1, optional=False):
    """A stage that runs a function once for each item."""
    step = Work(node=node, empty=lambda: "empty", optional=optional, do=do)
    return Stage(step=step, source=source, when=when, at_once=at_once)


def call(node, service, source=SOUND, *, when=None, first=None, sends=None, optional=False):
    """A stage that is one call, which sends each item."""
    sends = ((None, value(source)),) if sends is None else sends
    step = StreamCallStep(
        node=node, empty=lambda: "empty", optional=optional, caller=service, first=first, sends=tuple(sends)
    )
    return Stage(step=step, source=source, when=when)


def calls(node, service, source=SOUND, *, when=None, at_once=1, optional=False):
    """A stage that is a call for each item."""
    step = StreamCallStep(
        node=node, empty=lambda: "empty", optional=optional, caller=service, first=value(source), per_item=True
    )
    return Stage(step=step, source=source, when=when, at_once=at_once)


def collect(node, source, *, most=100, gives=None, when=None, optional=False):
    step = CollectStep(node=node, empty=list, optional=optional, value=gives or value(source), most=most)
    return Stage(step=step, source=source, when=when)


def output(name, source, when=None, gives=None):
    return StreamOutput(name=name, source=source, when=when, value=gives or value(source))


async def run(*stages, outputs=(), scope=None, seconds=60.0, **streams):
    """Run a stream; gives the execution, with the scope after it."""
    step = StreamStep(stages=stages)
    execution = FakeExecution(step, outputs, seconds, **streams)
    execution.scope = {} if scope is None else scope
    await run_stream(execution, step, execution.scope)
    return execution
