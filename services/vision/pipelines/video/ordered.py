"""Work on a stream: some of it at once, answers in order, and never more of it than somebody waits for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def ordered(
    items: AsyncIterator[Item], work: Callable[[Item], Awaitable[Result]], *, at_once: int
) -> AsyncGenerator[Result, None]:
    """What `work` makes of each item, in order.

    at_once: items that are being read, worked on, or wait to be taken. No further one is read before the oldest result
    was taken and the next is asked for. work: called in order; what it returns is awaited beside the others.
    The first failure, of the items or of the work, comes in its place in the order. Closing ends all work.
    """
    room = asyncio.Semaphore(at_once)
    begun: asyncio.Queue[asyncio.Future[Result] | None] = asyncio.Queue()
    running: set[asyncio.Future[Result]] = set()

    async def read() -> None:
        try:
            while True:
                await room.acquire()
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
                result = asyncio.ensure_future(work(item))
                running.add(result)
                begun.put_nowait(result)
        finally:
            begun.put_nowait(None)

    reader = asyncio.create_task(read())
    try:
        while (result := await begun.get()) is not None:
            done = await result
            running.discard(result)
            yield done
            room.release()
        await reader
    finally:
        await _cancelled(reader, *running)


async def ticking(items: AsyncIterator[Item], seconds: float) -> AsyncGenerator[Item | None, None]:
    """The items, and None each time that so many seconds pass without one."""
    ended = object()
    while True:
        step: asyncio.Future[object] = asyncio.ensure_future(anext(items, ended))
        try:
            while not (await asyncio.wait({step}, timeout=seconds))[0]:
                yield None
        finally:
            await _cancelled(step)
        item = step.result()
        if item is ended:
            return
        yield item  # type: ignore[misc] # either it is the end, or one of the items


async def _cancelled(*works: asyncio.Future[Any]) -> None:
    """End all of them, and wait until they have."""
    for work in works:
        work.cancel()
    await asyncio.gather(*works, return_exceptions=True)
