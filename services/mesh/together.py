"""Several things done side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

T = TypeVar("T")
Item = TypeVar("Item")


@asynccontextmanager
async def group() -> AsyncIterator[asyncio.TaskGroup]:
    """A group of tasks: the first failure, of a task or of the block, cancels the rest and is raised by itself."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except BaseExceptionGroup as failed:
        # In the order in which they happened; the others followed from the cancellation.
        raise failed.exceptions[0] from None


async def together(works: Iterable[Awaitable[T]]) -> list[T]:
    """The results of several awaitables run at once, in order; the first to fail cancels the others."""

    async def result(work: Awaitable[T]) -> T:
        return await work

    async with group() as running:
        tasks = [running.create_task(result(work)) for work in works]
    return [task.result() for task in tasks]


async def each(items: Sequence[Item], work: Callable[[Item], Awaitable[T]], *, at_once: int) -> list[T]:
    """What `work` makes of each item, in order, so many at the same time; the first to fail cancels the others."""
    free = asyncio.Semaphore(at_once)

    async def one(item: Item) -> T:
        async with free:
            return await work(item)

    return await together(map(one, items))
