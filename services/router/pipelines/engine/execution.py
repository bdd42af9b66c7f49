"""One run of a plan."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from services.mesh import errors, together
from services.mesh.deadline import Deadline
from services.mesh.status import code_of
from services.router.pipelines.budget import Budget, predicted_seconds, shortest_seconds
from services.router.pipelines.engine.combine import Answer, combine
from services.router.pipelines.engine.marks import restore
from services.router.pipelines.graph import INPUT
from services.router.pipelines.plan import (
    CallStep,
    Durations,
    EnsembleStep,
    FallbackStep,
    MapStep,
    Member,
    NamedStep,
    Observer,
    ParallelStep,
    Plan,
    PrivacyStep,
    Run,
    SequenceStep,
    Step,
    StreamStep,
    SwitchStep,
    Way,
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
        self._durations = durations
        self._observer = observer
        self._budget = Budget(plan, durations, deadline.remaining_seconds())

    async def execute(self, inputs: Mapping[str, object]) -> dict[str, object]:
        """The outputs that are no streams, by name.

        inputs: by name, of the declared kinds. Raises the error of the node that failed, graph and node in its
        metadata; Exhausted, before any node begins, when even the shortest runs of its nodes take longer than the time
        there is.
        """
        self._admit()
        scope: Variables = {INPUT + name: value for name, value in inputs.items()}
        await self._block(self.plan.step, scope, self.deadline)
        return {name: value(scope) for name, value in self.plan.outputs.items()}

    async def node(self, step: NamedStep, scope: Variables, deadline: Deadline | None = None) -> object:
        """Run one node; its value, and "failed.<node>" of an optional one, are put into the scope.

        deadline: by when it must have ended, by default that of the run.
        """
        deadline = deadline or self.deadline
        failed = False
        try:
            with self.watched(step):
                deadline = self._own_deadline(step, deadline)
                began = time.monotonic()
                value = await self._in_time(step, scope, deadline)
                self._durations.add(self.plan.graph, step.node, time.monotonic() - began)
        except errors.MeshError:
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
        record = self.run.node(step.node)
        record.runs += 1
        try:
            with self._observer.node(self.plan.graph, step.node):
                yield
        except errors.MeshError as error:
            record.error = at_node(error, self.plan.graph, step.node)
            raise record.error from None
        finally:
            record.end_seconds = time.monotonic() - self.run.began

    def limit(self, step: NamedStep) -> Deadline:
        """By when a node that begins now must have ended. Raises DeadlineExceeded when it cannot."""
        return self._own_deadline(step, self.deadline)

    def _admit(self) -> None:
        shortest = shortest_seconds(self.plan, self._durations)
        remaining = self.deadline.require_seconds()
        if shortest is None or shortest <= remaining:
            return
        usual = max(predicted_seconds(self.plan, self._durations) or shortest, shortest)
        raise errors.Exhausted(
            f"graph {self.plan.graph!r} takes about {usual:.1f} s now, and {remaining:.1f} s remain",
            reason="GRAPH_WOULD_BE_LATE",
            metadata={"graph": self.plan.graph, "predicted_seconds": f"{usual:.3f}"},
            retry_after_seconds=min(max(usual - remaining, _RETRY_AT_LEAST), _RETRY_AT_MOST),
        )

    def _own_deadline(self, step: NamedStep, deadline: Deadline) -> Deadline:
        """By when a node must have ended. Raises DeadlineExceeded when it cannot, so that it does not begin."""
        remaining = deadline.require_seconds()
        allowed = min(remaining, step.timeout or remaining)
        if step.share is not None:
            allowed = min(allowed, self._budget.needs(step))
        shortest = self._durations.shortest(self.plan.graph, step.node)
        if shortest is not None and shortest > allowed:
            raise errors.DeadlineExceeded(
                f"it takes {shortest:.2f} s at least and would have {allowed:.2f} s: it is not begun",
                reason="BUDGET_TOO_SHORT",
            )
        return deadline if allowed >= remaining else Deadline.after(allowed)

    async def _in_time(self, step: NamedStep, scope: Variables, deadline: Deadline) -> object:
        limit = asyncio.timeout(deadline.require_seconds())
        try:
            async with limit:
                return await self._value(step, scope, deadline)
        except TimeoutError:
            if not limit.expired():
                raise
            raise errors.DeadlineExceeded("it took longer than the time it had", reason="NODE_TIMEOUT") from None

    async def _value(self, step: NamedStep, scope: Variables, deadline: Deadline) -> object:
        match step:
            case CallStep():
                return await step.caller.call(scope, deadline, self.run)
            case SwitchStep():
                return await self._switch(step, scope, deadline)
            case MapStep():
                return await self._map(step, scope, deadline)
            case EnsembleStep():
                return await self._ensemble(step, scope, deadline)
            case FallbackStep():
                return await self._fallback(step, scope, deadline)
            case PrivacyStep():
                return await self._privacy(step, scope, deadline)
        raise TypeError(f"{type(step).__name__} has no value of its own")

    async def _block(self, step: Step, scope: Variables, deadline: Deadline) -> None:
        match step:
            case SequenceStep():
                for number, each in enumerate(step.steps):
                    following = step.steps[number + 1 :]
                    await self._block(each, scope, self._before(each, deadline, following))
            case ParallelStep() if step.quorum < len(step.steps):
                await self._quorum(step, scope, deadline)
            case ParallelStep():
                await together.together([self._block(each, scope, deadline) for each in step.steps])
            case StreamStep():
                await run_stream(self, step, scope)
            case NamedStep():
                await self.node(step, scope, deadline)

    def _before(self, step: Step, deadline: Deadline, following: tuple[Step, ...]) -> Deadline:
        """By when a step must have ended, so that those after it have time."""
        if not following or isinstance(step, StreamStep):
            return deadline
        remaining = deadline.remaining_seconds()
        allowed = self._budget.allowed(step, remaining, following)
        return deadline if allowed >= remaining else Deadline.after(allowed)

    async def _quorum(self, step: ParallelStep, scope: Variables, deadline: Deadline) -> None:
        tasks = [asyncio.create_task(self._block(each, scope, deadline)) for each in step.steps]
        pending, failures, succeeded = set(tasks), [], 0
        try:
            while succeeded < step.quorum:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                failures += [task.exception() for task in done if task.exception() is not None]
                succeeded += sum(task.exception() is None for task in done)
                if failures and succeeded + len(pending) < step.quorum:
                    assert failures[0] is not None  # noqa: S101 - they were filtered
                    raise failures[0]
        finally:
            await _ended(pending)
        for node in _visible(step):
            scope[f"failed.{node.node}"] = scope.get(f"failed.{node.node}", node.node not in scope)
            if node.node not in scope:
                scope[node.node] = node.empty()
                record = self.run.nodes.get(node.node)
                if record and record.error is None:
                    record.error = errors.Cancelled("enough others had succeeded")

    async def _way(self, way: Way, scope: Variables, deadline: Deadline) -> tuple[object, Variables]:
        """What a way gives, and the scope in which it ran."""
        if way.run is not None:
            scope = dict(scope)
            await self._block(way.run, scope, deadline)
        return way.gives(scope), scope

    async def _switch(self, step: SwitchStep, scope: Variables, deadline: Deadline) -> object:
        for condition, way in step.cases:
            if condition(scope):
                return (await self._way(way, scope, deadline))[0]
        if step.otherwise is None:
            raise errors.InvalidArgument("no condition holds for these inputs", reason="NO_CASE")
        return (await self._way(step.otherwise, scope, deadline))[0]

    async def _map(self, step: MapStep, scope: Variables, deadline: Deadline) -> object:
        items = step.items(scope)
        if len(items) > step.most:
            raise errors.InvalidArgument(
                f"its list has {len(items)} items, and {step.most} are allowed", reason="LIST_TOO_LONG"
            )

        async def one(item: object) -> object:
            return (await self._way(step.way, {**scope, step.item: item}, deadline))[0]

        return await together.each(items, one, at_once=step.at_once)

    async def _ensemble(self, step: EnsembleStep, scope: Variables, deadline: Deadline) -> object:
        """Of those that succeed, as long as they are at least half by weight."""
        failures: list[errors.MeshError] = []

        async def ask(member: Member) -> Answer | None:
            try:
                value, inside = await self._way(member.way, scope, deadline)
                return Answer(value, member.weight, float(member.score(inside)) if member.score else 0.0)
            except errors.MeshError as error:
                failures.append(error)
                return None

        answers = [each for each in await together.together(map(ask, step.members)) if each is not None]
        if 2 * sum(each.weight for each in answers) < sum(each.weight for each in step.members):
            raise failures[0]
        return combine(step.combine, answers)

    async def _fallback(self, step: FallbackStep, scope: Variables, deadline: Deadline) -> object:
        *others, last = step.ways
        for way in others:
            try:
                return (await self._way(way, scope, deadline))[0]
            except errors.MeshError as error:
                if code_of(error).name not in step.codes:
                    raise
        return (await self._way(last, scope, deadline))[0]

    async def _privacy(self, step: PrivacyStep, scope: Variables, deadline: Deadline) -> object:
        language = step.language_code(scope) if step.language_code else ""
        masked = await step.masker.mask(step.text(scope), step.types, language, deadline, self.run)
        value, _ = await self._way(step.way, {**scope, step.masked: masked.text}, deadline)
        return value if step.keep_marks else restore(str(value), masked.originals)


def at_node(error: errors.MeshError, graph: str, node: str) -> errors.MeshError:
    """The same error, telling in which graph and at which node it happened; of nodes in each other the innermost."""
    if "node" in error.metadata:
        return error
    return type(error)(
        f"{node}: {error.message}",
        reason=error.reason,
        metadata={**error.metadata, "graph": graph, "node": node},
        violations=error.violations,
        retry_after_seconds=error.retry_after_seconds,
    )


def _visible(step: Step) -> Iterator[NamedStep]:
    """The nodes of a block that those after it see."""
    match step:
        case NamedStep():
            yield step
        case SequenceStep() | ParallelStep():
            for each in step.steps:
                yield from _visible(each)


async def _ended(tasks: Sequence[asyncio.Task[None]] | set[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
