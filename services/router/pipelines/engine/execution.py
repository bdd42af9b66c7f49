"""One run of a plan."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.router.pipelines.budget import Budget, predicted_seconds, shortest_seconds
from services.router.pipelines.engine.blocks import value_of
from services.router.pipelines.engine.group import together
from services.router.pipelines.engine.watch import Watch, at_graph, at_node, cancelled
from services.router.pipelines.graph import INPUT
from services.router.pipelines.plan import (
    CallStep,
    CollectStep,
    Durations,
    NamedStep,
    Observer,
    ParallelStep,
    Plan,
    Run,
    SequenceStep,
    Step,
    StreamStep,
)
from services.router.pipelines.streaming import run_stream

# Told to callers whose graph would be late; seconds.
_RETRY_AT_LEAST, _RETRY_AT_MOST = 1.0, 30.0

Variables = dict[str, object]


async def _nowhere(name: str, value: object) -> None:
    """Outputs of a graph without streams."""


class Execution:
    """One run of a plan, to be executed once.

    Cancelling it cancels every node at once and waits until all have ended; none begins after that, nor after a
    failure that ends the graph, nor after the deadline.
    """

    def __init__(
        self,
        plan: Plan,
        run: Run,
        deadline: Deadline,
        *,
        durations: Durations,
        observer: Observer,
        streams: Mapping[str, AsyncIterator[object]] | None = None,
        emit: Callable[[str, object], Awaitable[None]] = _nowhere,
    ) -> None:
        """streams: the items of each input that is a stream, by "inputs.<name>". emit: takes items of outputs."""
        self.plan = plan
        self.run = run
        self.deadline = deadline
        self.streams = streams or {}
        self.emit = emit
        self._graph = plan.graph
        self._durations = durations
        self._observer = observer
        self._budget = Budget(plan, durations, deadline.remaining_seconds())

    async def execute(self, inputs: Mapping[str, object]) -> dict[str, object]:
        """The outputs that are no streams, by name.

        inputs: by name, of the declared kinds. Raises the error of the node that failed, graph and node in its
        metadata; Exhausted, before any node begins, when even the shortest runs of its nodes take longer than the time
        there is; DeadlineExceeded when that is over.
        """
        self._admit()
        scope: Variables = {INPUT + name: value for name, value in inputs.items()}
        limit = asyncio.timeout(self.deadline.remaining_seconds())
        try:
            async with limit:
                await self.block(self.plan.step, scope, self.deadline)
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._late() from None
        return {name: self._output(name, scope) for name in self.plan.outputs}

    async def block(self, step: Step, scope: Variables, deadline: Deadline, keep: float = 0.0) -> None:
        """Run a block; the values of its nodes are put into the scope.

        deadline: somebody ends it then. keep: seconds before it that are for what follows.
        """
        match step:
            case NamedStep():
                await self.node(step, scope, deadline, keep)
            case SequenceStep():
                for each, following in zip(step.steps, self._budget.following(step.steps), strict=True):
                    await self.block(each, scope, deadline, keep + following)
            case ParallelStep():
                await together([partial(self.block, each, scope, deadline, keep) for each in step.steps], step.quorum)
                self._mark_failed(step, scope)
            case StreamStep():
                await run_stream(self, step, scope)

    async def node(
        self, step: NamedStep, scope: Variables, deadline: Deadline | None = None, keep: float = 0.0
    ) -> object:
        """Run one node; its value, and "failed.<node>" of an optional one, are put into the scope.

        deadline: of what it is a part of, by default the run; somebody ends it then. keep: as of block.
        """
        _require_wanted()
        deadline = deadline or self.deadline
        failed = False
        try:
            with Watch(self.run, self._observer, self._graph, step.node) as record:
                own = self._own_deadline(step, deadline, keep)
                record.runs += 1
                began = time.monotonic()
                if own is deadline:
                    value = await self._value(step, scope, own)
                else:
                    value = await self._in_time(step, scope, own)
                self._durations.add(self._graph, step.node, time.monotonic() - began)
        except errors.MeshError:
            _require_wanted()
            if not step.optional:
                raise
            value, failed = step.empty(), True
        scope[step.node] = value
        if step.optional:
            scope[f"failed.{step.node}"] = failed
        return value

    @contextmanager
    def watched(self, step: NamedStep) -> Iterator[None]:
        """Around one run of a node: its record, its span, and errors that tell graph and node."""
        with Watch(self.run, self._observer, self._graph, step.node) as record:
            record.runs += 1
            yield

    def limit(self, step: NamedStep) -> Deadline:
        """By when a node that begins now must have ended. Raises DeadlineExceeded when it cannot."""
        return self._own_deadline(step, self.deadline, 0.0)

    def _admit(self) -> None:
        remaining = self.deadline.remaining_seconds()
        if remaining <= 0:
            raise at_graph(errors.DeadlineExceeded("the deadline passed before it could begin"), *self._itself)
        shortest = shortest_seconds(self.plan, self._durations)
        if shortest is None or shortest <= remaining:
            return
        usual = max(predicted_seconds(self.plan, self._durations) or shortest, shortest)
        raise errors.Exhausted(
            f"graph {self._graph!r} takes about {usual:.1f} s now, and {remaining:.1f} s remain",
            reason="GRAPH_WOULD_BE_LATE",
            metadata={"graph": self._graph, "predicted_seconds": f"{usual:.3f}"},
            retry_after_seconds=min(max(usual - remaining, _RETRY_AT_LEAST), _RETRY_AT_MOST),
        )

    @property
    def _itself(self) -> tuple[str, str]:
        return self._graph, f"graph {self._graph!r}"

    def _late(self) -> errors.MeshError:
        """The deadline passed: at the node that began last of those it ended."""
        error = errors.DeadlineExceeded("the deadline passed before it had ended")
        whole = self.deadline.monotonic_seconds - self.run.began
        for record in reversed(self.run.nodes.values()):
            if record.end_seconds >= whole and record.error is not None:
                return at_node(error, self._graph, record.node)
        return at_graph(error, *self._itself)

    def _output(self, name: str, scope: Variables) -> object:
        try:
            return self.plan.outputs[name](scope)
        except errors.MeshError as error:
            raise at_graph(error, self._graph, f"outputs.{name}") from None

    def _own_deadline(self, step: NamedStep, deadline: Deadline, keep: float) -> Deadline:
        """By when a node must have ended. Raises DeadlineExceeded when it cannot, so that it does not begin."""
        remaining = deadline.require_seconds()
        allowed = self._budget.allowed(step, remaining, keep)
        shortest = self._budget.shortest(step)
        if shortest is not None and shortest > allowed:
            raise errors.DeadlineExceeded(
                f"it takes {shortest:.2f} s at least and would have {allowed:.2f} s: it is not begun",
                reason="BUDGET_TOO_SHORT",
            )
        return deadline if allowed >= remaining else Deadline.after(allowed)

    async def _in_time(self, step: NamedStep, scope: Variables, deadline: Deadline) -> object:
        limit = asyncio.timeout(deadline.remaining_seconds())
        try:
            async with limit:
                return await self._value(step, scope, deadline)
        except TimeoutError:
            if not limit.expired():
                raise
            raise errors.DeadlineExceeded("it took longer than the time it had", reason="NODE_TIMEOUT") from None

    async def _value(self, step: NamedStep, scope: Variables, deadline: Deadline) -> object:
        if isinstance(step, CallStep):
            return await step.caller.call(scope, deadline, self.run)
        return await value_of(self, step, scope, deadline)

    def _mark_failed(self, step: ParallelStep, scope: Variables) -> None:
        """Let the nodes of a parallel with a quorum be as optional ones are."""
        if step.quorum == len(step.steps):
            return
        for node in _visible(step):
            failed = node.node not in scope
            scope.setdefault(f"failed.{node.node}", failed)
            if failed:
                scope[node.node] = node.empty()
                record = self.run.node(node.node)
                record.error = record.error or cancelled(self._graph, node.node)


def _require_wanted() -> None:
    """Raise CancelledError when the task was cancelled already: somebody may have made another error of it."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _visible(step: Step) -> Iterator[NamedStep]:
    """The nodes of a block that those after it see."""
    match step:
        case NamedStep():
            yield step
        case SequenceStep() | ParallelStep():
            for each in step.steps:
                yield from _visible(each)
        case StreamStep():
            yield from (stage.step for stage in step.stages if isinstance(stage.step, CollectStep))
