"""Answers of models that always answer the same, kept for whoever asks again.

It lies in the process of the service: a hit costs no call at all, neither for tokens nor to Triton. Texts are never
held, only a keyed hash of each.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from cachetools import LRUCache

from services.mesh.instruments import CACHE_LOOKUPS

T = TypeVar("T")

# What an entry takes beside its answer: hash, slots of two dictionaries, object headers.
_ENTRY_BYTES = 512


class AnswerCache:
    """The answers used last, as many as fit. Equal questions under way at the same time are answered once."""

    def __init__(self, name: str, max_bytes: int, size: Callable[[object], int]) -> None:
        """name: in the metric `maas.cache.lookups`. max_bytes: 0 keeps nothing. size: bytes of an answer."""
        self._name = name
        self._secret = secrets.token_bytes(32)
        # Those are bytes, not entries; what alone is larger than the whole is not kept.
        self._kept: LRUCache[bytes, object] = LRUCache(max_bytes, lambda answer: _ENTRY_BYTES + size(answer))
        # Bounded by the calls that the server takes at once.
        self._under_way: dict[bytes, asyncio.Future[object]] = {}

    async def answers(
        self, asking: tuple[str, ...], texts: Sequence[str], compute: Callable[[list[str]], Awaitable[Sequence[T]]]
    ) -> list[T]:
        """One answer a text, in order.

        asking: all that the answers depend on beside the text: model, version, output and so on. compute: answers
        the texts that are new, each once; it is always of the same type for the same `asking`.
        """
        keys = [self._key(asking, text) for text in texts]
        found: dict[bytes, object] = {}
        shared: dict[bytes, asyncio.Future[object]] = {}
        new: dict[bytes, str] = {}
        outcomes: Counter[str] = Counter()
        for key, text in zip(keys, texts, strict=True):
            if key in found or key in new or key in shared:
                outcomes["shared"] += 1
            elif key in self._kept:
                found[key] = self._kept[key]
                outcomes["hit"] += 1
            elif key in self._under_way:
                shared[key] = self._under_way[key]
                outcomes["shared"] += 1
            else:
                new[key] = text
                outcomes["miss"] += 1
        for outcome, count in outcomes.items():
            CACHE_LOOKUPS.add(count, {"cache": self._name, "outcome": outcome})
        if new:
            found |= await self._announced(new, compute)
        if shared:
            await asyncio.wait(shared.values())
            found |= {key: future.result() for key, future in shared.items() if not future.cancelled()}
            # Whoever computed the rest failed, perhaps for want of time: that is no answer for us.
            left = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
            if left:
                found |= zip(left, await compute(list(left.values())), strict=True)
        return [found[key] for key in keys]  # type: ignore[misc]  # T by the contract of `compute`

    async def _announced(
        self, new: dict[bytes, str], compute: Callable[[list[str]], Awaitable[Sequence[T]]]
    ) -> dict[bytes, object]:
        """Compute what is new, while others who ask the same wait for it."""
        loop = asyncio.get_running_loop()
        self._under_way |= {key: loop.create_future() for key in new}
        try:
            answers: dict[bytes, object] = dict(zip(new, await compute(list(new.values())), strict=True))
            for key, answer in answers.items():
                self._keep(key, answer)
                self._under_way[key].set_result(answer)
        finally:
            for key in new:
                self._under_way.pop(key).cancel()  # Which does nothing to a future that has its result.
        return answers

    def _key(self, asking: tuple[str, ...], text: str) -> bytes:
        # The parts of `asking` are names: none has a zero byte, so no two questions have the same bytes.
        question = "\0".join((*asking, text)).encode()
        return hashlib.blake2b(question, digest_size=16, key=self._secret).digest()

    def _keep(self, key: bytes, answer: object) -> None:
        if self._kept.getsizeof(answer) <= self._kept.maxsize:
            self._kept[key] = answer
