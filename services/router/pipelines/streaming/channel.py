"""Items on their way from one task to another."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Channel(Generic[Item]):
    """Up to `most` items, in order, for one task that writes and one that reads (`async for`).

    An asyncio.Queue has no end, and nobody who no longer listens.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: deque[Item] = deque()
        self._closed = self._dropping = False
        # Of whichever side waits: one for room, the other for items, so never both.
        self._waiting: asyncio.Future[None] | None = None

    async def put(self, item: Item) -> None:
        """Add an item. Waits while there are `most`."""
        while len(self._items) >= self._most and not self._dropping:
            await self._wait()
        if not self._dropping:
            self._items.append(item)
            self._wake()

    def close(self) -> None:
        """End it after the items that are in it."""
        self._closed = True
        self._wake()

    @property
    def closed(self) -> bool:
        """Whether nothing is added any more."""
        return self._closed

    def drop(self) -> None:
        """Throw away what is in it and what will be put, so that the writer never waits."""
        self._dropping = True
        self._items.clear()
        self._wake()

    def __aiter__(self) -> Channel[Item]:
        """The items."""
        return self

    async def __anext__(self) -> Item:
        """The next item. Waits while there is none."""
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            await self._wait()
        item = self._items.popleft()
        self._wake()
        return item

    async def _wait(self) -> None:
        self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
