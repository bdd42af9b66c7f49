"""The end of calls that would outlast a server's drain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.mesh import errors

# So long before gRPC cuts them off calls are told why.
_ANSWER_SECONDS = 0.5


class Draining:
    """All calls of a server, each with its time; the server's end shortens them."""

    def __init__(self) -> None:
        self._limits: set[asyncio.Timeout] = set()
        self._end: float | None = None

    def begin(self, seconds: float) -> None:
        """The server ends in so many seconds."""
        self._end = asyncio.get_running_loop().time() + max(seconds - _ANSWER_SECONDS, seconds / 2)
        for limit in self._limits:
            limit.reschedule(self._within(limit.when()))

    @asynccontextmanager
    async def limited(self, seconds: float) -> AsyncIterator[None]:
        """A call that may take so long. Raises TimeoutError, and Unavailable with the reason DRAINING."""
        try:
            async with asyncio.timeout_at(self._within(asyncio.get_running_loop().time() + seconds)) as limit:
                self._limits.add(limit)
                try:
                    yield
                finally:
                    self._limits.discard(limit)
        except TimeoutError:
            if limit.expired() and limit.when() == self._end:
                raise errors.Unavailable.draining("this server stops, and the call had not ended") from None
            raise

    def _within(self, when: float | None) -> float | None:
        return when if self._end is None or when is None else min(when, self._end)
