"""Several things done side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")
Item = TypeVar("Item")


async def together(works: Iterable[Awaitable[T]]) -> list[T]:
    """The results of several awaitables run at once, in order; the first to fail cancels the others."""

    async def result(work: Awaitable[T]) -> T:
        return await work

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(result(work)) for work in works]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


async def each(items: Sequence[Item], work: Callable[[Item], Awaitable[T]], *, at_once: int) -> list[T]:
    """What `work` makes of each item, in order, so many at the same time; the first to fail cancels the others."""
    free = asyncio.Semaphore(at_once)

    async def one(item: Item) -> T:
        async with free:
            return await work(item)

    return await together(map(one, items))
