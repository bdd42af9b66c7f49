"""Answers on their way to the client; who writes waits while the client does not read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")

_MAX_WAITING = 32


class Outbox(Generic[T]):
    """A queue with an end. Bounded."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(_MAX_WAITING)
        self._items: asyncio.Queue[T | None] = asyncio.Queue()

    async def put(self, item: T) -> None:
        """Add one, as soon as there is room."""
        await self._room.acquire()
        self._items.put_nowait(item)

    def close(self) -> None:
        """Nothing more comes."""
        self._items.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[T]:
        """All of them, in order."""
        while (item := await self._items.get()) is not None:
            self._room.release()
            yield item
