"""The one door to what lies elsewhere: which addresses, how many at once, how long, how much."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.preprocessing.pipelines.fetch.body import Body, silent
from services.preprocessing.pipelines.fetch.places import WEB_SCHEMES, Place

if TYPE_CHECKING:
    from services.preprocessing.pipelines.fetch.objects import ObjectSource
    from services.preprocessing.pipelines.fetch.web import WebSource

_RETRY_SECONDS = 2.0
# obstore's threads touch Python objects for a moment after a read; when the interpreter is gone by then, they abort the
# process: measured in 2 of 32 runs that ended with a read, in none of 20 that waited.
_SETTLING_SECONDS = 0.2


class Fetcher:
    """Reads what lies at allowed addresses. It tells nobody more of an address than its scheme and host."""

    def __init__(self, prefixes: Sequence[Place] = (), *, seconds: float = 10.0, max_at_once: int = 8) -> None:
        """prefixes: those that may be read below. seconds: the longest that one may take."""
        self._prefixes = prefixes
        self._seconds = seconds
        self._free = asyncio.Semaphore(max_at_once)
        self.web: WebSource | None = None
        self.stores: list[ObjectSource] = []

    def allows(self, place: Place) -> bool:
        """Whether the operator wrote down that it may be read."""
        return any(place.below(prefix) for prefix in self._prefixes)

    async def fetch(self, uri: str, *, field: str, deadline: Deadline) -> bytes:
        """What lies there, 1 byte to MAX_BYTES.

        field: names the address in errors. Raises InvalidArgument for a place that may not be read or gives what may
        not be, NotFound when there is nothing, Unavailable when it does not answer in time, Exhausted when too many
        are being read, and DeadlineExceeded.
        """
        place = self._checked(uri, field)
        try:
            async with asyncio.timeout(deadline.require_seconds()):
                await self._free.acquire()
        except TimeoutError:
            raise errors.Exhausted(
                "too many addresses are being read at once; try again shortly", retry_after_seconds=_RETRY_SECONDS
            ) from None
        try:
            return await self._read(uri, place, Body(field), deadline)
        finally:
            self._free.release()

    def _checked(self, uri: str, field: str) -> Place:
        if not self._prefixes:
            raise errors.InvalidArgument.field(
                field, "is not taken here, since the operator allows no places (MEDIA_SOURCES); send the bytes instead"
            )
        try:
            place = Place.parse(uri)
        except ValueError as error:
            raise errors.InvalidArgument.field(field, str(error)) from None
        if not self.allows(place):
            raise errors.InvalidArgument.field(field, "names a place that the operator does not allow")
        return place

    async def _read(self, uri: str, place: Place, body: Body, deadline: Deadline) -> bytes:
        remaining = deadline.require_seconds()
        try:
            async with asyncio.timeout(min(remaining, self._seconds)):
                if self.web is not None and place.scheme in WEB_SCHEMES:
                    await self.web.read(uri, place, body)
                else:
                    await next(store for store in self.stores if store.has(place)).read(place, body)
        except TimeoutError:
            if remaining <= self._seconds:
                raise errors.DeadlineExceeded("what lies at the address did not come in time") from None
            raise silent(place) from None
        return body.whole()


@asynccontextmanager
async def open_fetcher(
    sources: Sequence[str], *, private_networks: bool, seconds: float, max_at_once: int
) -> AsyncIterator[Fetcher]:
    """A fetcher for as long as the block runs.

    sources: prefixes that may be read below. private_networks: whether web addresses may lead to private networks.
    Raises ValueError for a source that is no address.
    """
    prefixes = [_prefix(source) for source in sources]
    fetcher = Fetcher(prefixes, seconds=seconds, max_at_once=max_at_once)
    async with AsyncExitStack() as stack:
        # Most processes read nothing from elsewhere and need no client in their memory.
        if any(prefix.scheme in WEB_SCHEMES for prefix in prefixes):
            from services.preprocessing.pipelines.fetch.web import open_web  # noqa: PLC0415 - see above

            opening = open_web(fetcher.allows, private_networks=private_networks, max_connections=max_at_once)
            fetcher.web = await stack.enter_async_context(opening)
        if objects := [prefix for prefix in prefixes if prefix.scheme not in WEB_SCHEMES]:
            from services.preprocessing.pipelines.fetch.objects import ObjectSource  # noqa: PLC0415 - see above

            stack.push_async_callback(asyncio.sleep, _SETTLING_SECONDS)
            fetcher.stores = [ObjectSource(prefix, seconds=seconds) for prefix in objects]
        yield fetcher


def _prefix(source: str) -> Place:
    try:
        return Place.parse(source)
    except ValueError as error:
        raise ValueError(f"MEDIA_SOURCES: a prefix {error}") from None
