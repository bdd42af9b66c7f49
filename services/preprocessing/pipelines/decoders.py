"""Threads that decode while the bytes arrive: a bounded number, each in bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.preprocessing.pipelines.link import Link, LinkClosed

Event = TypeVar("Event")

# Decoding takes seconds or minutes.
_RETRY_SECONDS = 5.0


class Decoders(Generic[Event]):
    """Runs decoders, each in a thread of its own. FFmpeg, soxr and Pillow release the GIL while they work."""

    def __init__(self, most: int, what: str) -> None:
        """most: at once. what: they decode, in the plural, for errors."""
        self._executor = ThreadPoolExecutor(most, thread_name_prefix=what)
        self._links: set[Link[Event]] = set()
        self._most = most
        self._what = what

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End what is running."""
        for link in list(self._links):
            link.close()
        self._executor.shutdown()

    @property
    def running(self) -> int:
        """How many are at work."""
        return len(self._links)

    async def run(
        self, decode: Callable[[Link[Event]], None], chunks: AsyncIterator[bytes], deadline: Deadline
    ) -> AsyncGenerator[Event, None]:
        """The events that the function puts; it runs in a thread.

        Closing the generator ends the thread, and waits for it: at most for what it is decoding.
        Raises Exhausted, DeadlineExceeded, what the function raises, and what the chunks raise.
        """
        deadline.require_seconds()
        if len(self._links) >= self._most:
            raise exhausted(self._most, self._what)
        link: Link[Event] = Link()
        self._links.add(link)  # until its thread ends
        work = asyncio.wrap_future(self._executor.submit(self._work, link, decode))
        events = link.events(chunks, deadline)
        try:
            async for event in events:
                yield event
        finally:
            link.close()
            await events.aclose()
            await asyncio.shield(work)

    def _work(self, link: Link[Event], decode: Callable[[Link[Event]], None]) -> None:
        """What the thread does."""
        failure: BaseException | None = None
        try:
            decode(link)
        except LinkClosed:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again where the events are taken
            failure = error
        finally:
            self._links.discard(link)
            link.end(failure)


def exhausted(most: int, what: str) -> errors.Exhausted:
    """The error when as many as may be are at work."""
    return errors.Exhausted(
        f"{most} {what} are being decoded already; try again later", retry_after_seconds=_RETRY_SECONDS
    )
