"""The threads in which inputs are opened: a bounded number at work, a bounded number waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.timing import Stage, stage

T = TypeVar("T")

# Decoding takes milliseconds, so a full queue has moved on by then.
_RETRY_SECONDS = 0.5


class Workers:
    """Runs functions off the event loop. Pillow, FFmpeg, soxr and tokenizers release the GIL while they work.

    No more than `threads` functions are ever inside the executor: those that wait do so on the event loop, where a
    caller that gives up takes its input out of memory at once.
    """

    def __init__(self, *, threads: int, max_waiting: int) -> None:
        """threads: functions that run at once. max_waiting: calls that may wait beside them."""
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="worker")
        self._free = asyncio.Semaphore(threads)
        self._max_waiting = max_waiting
        self._waiting = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait for what is running."""
        self._executor.shutdown()

    @property
    def waiting(self) -> int:
        """Calls that wait for a thread."""
        return self._waiting

    async def run(self, work: Callable[[], T], deadline: Deadline) -> T:
        """What the function returns.

        Work whose caller went away or whose deadline passed does not begin; work that has begun runs to its end, and
        counts until then.
        Raises Exhausted when too many wait, DeadlineExceeded, and what the function raises.
        """
        with stage(Stage.QUEUE):
            await self._acquire(deadline)
        loop = asyncio.get_running_loop()

        def release(_: Future[T]) -> None:
            loop.call_soon_threadsafe(self._free.release)

        future = self._executor.submit(_in_time, work, deadline)
        future.add_done_callback(release)
        with stage(Stage.PREPROCESS):
            return await asyncio.wrap_future(future)

    async def _acquire(self, deadline: Deadline) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        if self._waiting >= self._max_waiting:
            raise errors.Exhausted(
                "too many inputs are being decoded at once; try again shortly", retry_after_seconds=_RETRY_SECONDS
            )
        self._waiting += 1
        try:
            async with asyncio.timeout(deadline.require_seconds()):
                await self._free.acquire()
        except TimeoutError:
            raise errors.DeadlineExceeded("the deadline passed before the work could begin") from None
        finally:
            self._waiting -= 1


def _in_time(work: Callable[[], T], deadline: Deadline) -> T:
    deadline.require_seconds()
    return work()
