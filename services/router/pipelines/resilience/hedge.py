"""Makes a slow call a second time, and takes the answer that comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.mesh import errors
from services.router.pipelines.graph import Hedge
from services.router.pipelines.resilience.tokens import Share
from services.router.pipelines.window import Window

T = TypeVar("T")

_FEWEST = 20


class Hedging:
    """The calls of one node ("The Tail at Scale", Dean and Barroso, 2013)."""

    def __init__(self, policy: Hedge) -> None:
        self._policy = policy
        self._share = Share(policy.share)
        self._window = Window()

    async def call(self, attempt: Callable[[], Awaitable[T]], second: Callable[[], None]) -> T:
        """The first answer; the other call is cancelled. A failure counts when there is no other call under way.

        second: told when a call is made twice.
        """
        self._share.count()
        began = self._window.now()
        tasks = {asyncio.create_task(_of(attempt))}
        try:
            done, _ = await asyncio.wait(tasks, timeout=self._wait_seconds())
            if not done and self._share.take():
                second()
                tasks.add(asyncio.create_task(_of(attempt)))
            answer = await _first(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        self._window.add(self._window.now() - began)
        return answer

    def _wait_seconds(self) -> float:
        if self._policy.percentile is not None and self._window.count() >= _FEWEST:
            return self._window.quantile(self._policy.percentile)
        after: float = self._policy.after
        return after


async def _first(tasks: set[asyncio.Task[T]]) -> T:
    """The first that succeeds, otherwise the last failure."""
    pending = tasks
    while True:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            error = None if task.cancelled() else task.exception()
            if isinstance(error, errors.MeshError) and pending:
                continue
            return task.result()


async def _of(attempt: Callable[[], Awaitable[T]]) -> T:
    return await attempt()
