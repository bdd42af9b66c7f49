"""Runs the stages of one `stream` block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractContextManager, aclosing
from typing import Protocol

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.together import group
from services.router.pipelines.graph import INPUT
from services.router.pipelines.plan import (
    CollectStep,
    Evaluate,
    NamedStep,
    Plan,
    Run,
    Stage,
    StreamCallStep,
    StreamOutput,
    StreamStep,
)
from services.router.pipelines.streaming.channel import Channel
from services.router.pipelines.streaming.fan import BUFFER, Fan, Item
from services.router.pipelines.streaming.sizes import size_of

# What one `collect` keeps.
MAX_COLLECTED_BYTES = 64 * 1024 * 1024

Put = Callable[[Item], Awaitable[None]]


class Execution(Protocol):
    """The run of a graph that a stream is a part of."""

    plan: Plan
    run: Run
    deadline: Deadline
    streams: Mapping[str, AsyncIterator[object]]
    emit: Callable[[str, object], Awaitable[None]]

    async def node(self, step: NamedStep, scope: dict[str, object]) -> object:
        """Run a unary node; its value, and "failed.<node>" of an optional one, are in the scope then."""
        ...

    def watched(self, step: NamedStep) -> AbstractContextManager[None]:
        """Around a run of a node: what leaves the block is recorded and tells graph and node."""
        ...

    def limit(self, step: NamedStep) -> Deadline:
        """By when a node must have ended."""
        ...


async def run_stream(execution: Execution, step: StreamStep, scope: dict[str, object]) -> None:
    """Run all stages until the streams that they take have ended and every item has gone through.

    Lists that were collected, and "failed.<node>" of optional stages, are in the scope then. Raises the first failure,
    after all stages have been cancelled. Every item goes to each stage and output that takes it, once and in order;
    only a few wait before each, so that the slowest slows down the sender.
    """
    try:
        async with asyncio.timeout(execution.deadline.require_seconds()):
            await _Stream(execution, step, scope).run()
    except TimeoutError:
        raise errors.DeadlineExceeded("the deadline passed before the streams had ended") from None


class _Stream:
    """One run of the stages of a block."""

    def __init__(self, execution: Execution, step: StreamStep, scope: dict[str, object]) -> None:
        self._execution = execution
        self._stages = step.stages
        self._scope = scope
        self._after: dict[str, object] = {_failed(stage.step): False for stage in step.stages if stage.step.optional}
        # What every item has in its scope.
        self._before = scope | self._after

    async def run(self) -> None:
        """Run to the end."""
        inputs = {stage.source for stage in self._stages if stage.source.startswith(INPUT)}
        fans = {source: Fan() for source in (*inputs, *(stage.step.node for stage in self._stages))}
        async with group() as tasks:
            for output in self._execution.plan.stream_outputs:
                if output.source in fans:
                    tasks.create_task(self._output(output, fans[output.source].reader()))
            for stage in self._stages:
                tasks.create_task(self._stage(stage, fans[stage.source], fans[stage.step.node]))
            for source in inputs:
                tasks.create_task(self._input(source, fans[source]))
        self._scope.update(self._after)

    async def _input(self, source: str, fan: Fan) -> None:
        async for item in self._execution.streams[source]:
            await fan.put({**self._before, source: item})
        fan.close()

    async def _output(self, output: StreamOutput, items: Channel[Item]) -> None:
        async for item in items:
            try:
                if not _holds(output.when, item):
                    continue
                value = output.value(item)
            except errors.MeshError as error:
                raise _at_output(error, self._execution.plan.graph, output.name) from None
            await self._execution.emit(output.name, value)

    def _stage(self, stage: Stage, source: Fan, fan: Fan) -> Coroutine[None, None, None]:
        """What a stage does until its source has ended. The source knows of it when this returns."""
        match stage.step:
            case CollectStep() as step:
                return self._collect(stage, step, source.reader())
            case StreamCallStep(per_item=False) as step:
                return self._one_call(stage, step, source.reader(), fan)
        run = self._items if stage.at_once == 1 else self._items_at_once
        return run(stage, source.writer(), fan)

    async def _collect(self, stage: Stage, step: CollectStep, items: Channel[Item]) -> None:
        values: object
        try:
            with self._execution.watched(step):
                values = await _gathered(stage, step, items)
        except errors.MeshError:
            if not step.optional:
                raise
            self._after[_failed(step)] = True
            values = step.empty()
            items.drop()
        self._after[step.node] = values

    async def _one_call(self, stage: Stage, step: StreamCallStep, items: Channel[Item], fan: Fan) -> None:
        try:
            await self._call(step, _requests(self._before, stage, step, items), self._before, fan.put)
        except errors.MeshError:
            if not step.optional:
                raise
            self._after[_failed(step)] = True
        # The service may have ended before its source, which others may take as well.
        items.drop()
        fan.close()

    async def _items(self, stage: Stage, items: Channel[Item], fan: Fan) -> None:
        async for item in items:
            await self._item(stage, item, fan.put)
        fan.close()

    async def _items_at_once(self, stage: Stage, items: Channel[Item], fan: Fan) -> None:
        """Several items at the same time; what comes of them goes on in their order."""
        # Besides the one whose turn it is.
        turns: Channel[Channel[Item]] = Channel(stage.at_once - 1)

        async def begin() -> None:
            async for item in items:
                made: Channel[Item] = Channel(BUFFER)
                await turns.put(made)
                tasks.create_task(go(item, made))
            turns.close()

        async def go(item: Item, made: Channel[Item]) -> None:
            await self._item(stage, item, made.put)
            made.close()

        async with group() as tasks:
            tasks.create_task(begin())
            async for made in turns:
                async for item in made:
                    await fan.put(item)
        fan.close()

    async def _item(self, stage: Stage, item: Item, put: Put) -> None:
        """One item through a stage that runs once for each."""
        step = stage.step
        try:
            if not self._wanted(stage, item):
                return
            if isinstance(step, StreamCallStep):
                await self._call(step, _only(step, item), item, put)
                return
        except errors.MeshError:
            if not step.optional:
                raise
            item[step.node], item[_failed(step)] = step.empty(), True
        else:
            await self._execution.node(step, item)
        if step.optional and item[_failed(step)]:
            self._after[_failed(step)] = True
        await put(item)

    def _wanted(self, stage: Stage, item: Item) -> bool:
        try:
            return _holds(stage.when, item)
        except errors.MeshError:
            with self._execution.watched(stage.step):
                raise

    async def _call(self, step: StreamCallStep, requests: AsyncGenerator[object, None], scope: Item, put: Put) -> None:
        """Every answer of a call as an item: the scope, and the answer by the node's name."""
        with self._execution.watched(step):
            opened = step.caller.open(requests, self._execution.limit(step), self._execution.run)
            async with aclosing(requests), aclosing(opened) as answers:
                async for answer in answers:
                    await put({**scope, step.node: answer})


def _failed(step: NamedStep) -> str:
    return f"failed.{step.node}"


def _holds(when: Evaluate | None, item: Item) -> bool:
    return when is None or bool(when(item))


def _at_output(error: errors.MeshError, graph: str, name: str) -> errors.MeshError:
    """The same error, telling in which graph and of which output it is."""
    return type(error)(
        f"outputs.{name}: {error.message}",
        reason=error.reason,
        metadata={**error.metadata, "graph": graph},
        violations=error.violations,
        retry_after_seconds=error.retry_after_seconds,
    )


async def _requests(
    before: Item, stage: Stage, step: StreamCallStep, items: Channel[Item]
) -> AsyncGenerator[object, None]:
    """The requests of a call that takes all items."""
    if step.first is not None:
        yield step.first(before)
    async for item in items:
        if _holds(stage.when, item):
            for when, request in step.sends:
                if _holds(when, item):
                    yield request(item)


async def _only(step: StreamCallStep, item: Item) -> AsyncGenerator[object, None]:
    """The request of a call for one item."""
    if step.first is not None:
        yield step.first(item)


async def _gathered(stage: Stage, step: CollectStep, items: Channel[Item]) -> list[object]:
    values: list[object] = []
    size = 0
    async for item in items:
        if not _holds(stage.when, item):
            continue
        if len(values) == step.most:
            raise errors.Exhausted(
                f"there are more than the {step.most} items that it collects",
                reason="TOO_MANY_ITEMS",
                metadata={"limit": str(step.most)},
            )
        values.append(step.value(item))
        size += size_of(values[-1])
        if size > MAX_COLLECTED_BYTES:
            raise errors.Exhausted(
                f"its items are more than the {MAX_COLLECTED_BYTES} bytes that it collects",
                reason="TOO_MANY_ITEMS",
                metadata={"limit": str(MAX_COLLECTED_BYTES)},
            )
    return values
