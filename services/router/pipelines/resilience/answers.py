"""Keeps the answers of nodes with a cache, by a hash of the request."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from cachetools import TLRUCache

T = TypeVar("T")

# What an entry takes beside its answer.
_ENTRY_BYTES = 512
# Half a millisecond; a thread hashes what is larger.
_HASHED_AT_ONCE = 256 * 1024


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: object
    size: int
    ttl: float


class Answers:
    """One for the whole router, bounded by bytes. Of requests it has a keyed hash only.

    What is kept is handed out as it is: whoever gets an answer does not change it.
    """

    def __init__(self, max_bytes: int) -> None:
        """max_bytes: 0 keeps nothing."""
        self._secret = secrets.token_bytes(32)
        self._kept: TLRUCache[bytes, _Kept] = TLRUCache(
            max_bytes,
            ttu=lambda _key, kept, now: now + kept.ttl,
            timer=time.monotonic,
            getsizeof=lambda kept: kept.size,
        )
        # Bounded by the calls that the router takes at once.
        self._under_way: dict[bytes, asyncio.Future[object]] = {}

    async def get(
        self, method: str, request: bytes, ttl: float, compute: Callable[[], Awaitable[T]], size: Callable[[T], int]
    ) -> tuple[T, bool]:
        """The answer to a request, and whether it was there or under way already.

        ttl: seconds. compute: asks for it; when that fails for another who asked the same, it is asked again.
        """
        key = (
            self._key(method, request)
            if len(request) <= _HASHED_AT_ONCE
            else await asyncio.to_thread(self._key, method, request)
        )
        kept = self._kept.get(key)
        if kept is not None:
            return kept.answer, True  # type: ignore[return-value]  # of the method in the key
        while key in self._under_way:
            future = self._under_way[key]
            await asyncio.wait({future})
            if not future.cancelled():
                return future.result(), True  # type: ignore[return-value]
        future = self._under_way[key] = asyncio.get_running_loop().create_future()
        try:
            answer = await compute()
            future.set_result(answer)
        finally:
            del self._under_way[key]
            future.cancel()  # Which does nothing to a future that has its result.
        entry = _Kept(answer, _ENTRY_BYTES + size(answer), ttl)
        if entry.size <= self._kept.maxsize:
            self._kept[key] = entry
        return answer, False

    def _key(self, method: str, request: bytes) -> bytes:
        key = hashlib.blake2b(method.encode() + b"\0", digest_size=16, key=self._secret)
        key.update(request)
        return key.digest()
