"""What passes between the event loop and a thread that decodes: chunks in, events out, both bounded."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Generic, TypeVar

from services.mesh import errors
from services.mesh.deadline import Deadline

Event = TypeVar("Event")

# Events that may wait to be taken, beside the one that the thread is working on.
_MAX_WAITING = 2


class LinkClosed(Exception):
    """Nobody waits for this work any more."""


class _Hungry:
    """The thread waits for a chunk."""


class _Ended:
    """The thread is done, well or with an error."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Link(Generic[Event]):
    """One stream's. The thread's side blocks; closing wakes it wherever it waits, and from then on it gets LinkClosed.

    A chunk is read from the caller only when the thread has used up the one before, and only while the caller waits for
    an event; so what the caller does not take is neither decoded nor read.
    """

    def __init__(self) -> None:
        """Made on the event loop."""
        self._loop = asyncio.get_running_loop()
        self._messages: asyncio.Queue[Event | _Hungry | _Ended] = asyncio.Queue()
        self._room = threading.Semaphore(_MAX_WAITING)
        self._chunks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._closed = False

    # The thread's side.

    def read(self) -> bytes:
        """The next chunk, empty at the end. Raises LinkClosed."""
        self._tell(_Hungry())
        chunk = self._chunks.get()
        self.require_open()
        return chunk

    def put(self, event: Event) -> None:
        """Hand an event over, when there is room for it. Raises LinkClosed."""
        self._room.acquire()
        self._tell(event)

    def end(self, error: BaseException | None) -> None:
        """The last thing that the thread does."""
        with suppress(LinkClosed):
            self._tell(_Ended(error))

    def require_open(self) -> None:
        """Raise LinkClosed when it is."""
        if self._closed:
            raise LinkClosed

    def _tell(self, message: Event | _Hungry | _Ended) -> None:
        self.require_open()
        self._loop.call_soon_threadsafe(self._messages.put_nowait, message)

    # The event loop's side.

    async def events(self, chunks: AsyncIterator[bytes], deadline: Deadline) -> AsyncGenerator[Event, None]:
        """What the thread puts, until it ends. Raises its error, that of the chunks, or DeadlineExceeded."""
        while True:
            try:
                async with asyncio.timeout(deadline.require_seconds()):
                    message = await self._messages.get()
                    while isinstance(message, _Hungry):
                        self._chunks.put(await _next(chunks))
                        message = await self._messages.get()
            except TimeoutError:
                raise errors.DeadlineExceeded("the deadline passed before all of it was read") from None
            if isinstance(message, _Ended):
                if message.error is not None:
                    raise message.error
                return
            self._room.release()
            yield message

    def close(self) -> None:
        """End it; the thread wakes."""
        self._closed = True
        self._room.release()
        self._chunks.put(b"")


async def _next(chunks: AsyncIterator[bytes]) -> bytes:
    """The next chunk that holds anything, empty at the end."""
    async for chunk in chunks:
        if chunk:
            return chunk
    return b""
