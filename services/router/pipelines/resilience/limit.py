"""So many at the same time, so many in a queue, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.router.pipelines.graph import Limit


class Turns:
    """The calls of one node, over all runs."""

    def __init__(self, policy: Limit) -> None:
        self._policy = policy
        self._free = asyncio.Semaphore(policy.at_once)
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Calls whose turn has not come."""
        return self._waiting

    @asynccontextmanager
    async def turn(self, deadline: Deadline) -> AsyncIterator[None]:
        """Inside the block the call may be made. Raises Exhausted when the queue is full, and DeadlineExceeded."""
        if self._free.locked():
            await self._wait(deadline)
        else:
            await self._free.acquire()
        try:
            yield
        finally:
            self._free.release()

    async def _wait(self, deadline: Deadline) -> None:
        if self._waiting >= self._policy.queue:
            raise errors.Exhausted(
                f"{self._policy.at_once} calls are under way and {self._policy.queue} wait already",
                metadata={"limit": str(self._policy.queue)},
                retry_after_seconds=1,
            )
        self._waiting += 1
        try:
            async with asyncio.timeout(deadline.require_seconds()):
                await self._free.acquire()
        except TimeoutError:
            raise errors.DeadlineExceeded("its turn did not come in time") from None
        finally:
            self._waiting -= 1
