"""Makes a slow call a second time, and takes the answer that comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.mesh import errors
from services.router.pipelines.graph import Hedge
from services.router.pipelines.resilience.retry import RetryBudget
from services.router.pipelines.resilience.tokens import Share
from services.router.pipelines.window import Window

T = TypeVar("T")

_FEWEST = 20


class Hedging:
    """The calls of one node ("The Tail at Scale", Dean and Barroso, 2013), while the router has something to spend."""

    def __init__(self, policy: Hedge, budget: RetryBudget) -> None:
        self._policy = policy
        self._budget = budget
        self._share = Share(policy.share)
        self._window = Window()

    async def call(self, attempt: Callable[[], Awaitable[T]], second: Callable[[], None]) -> T:
        """The first answer; the other call is cancelled. A failure counts when there is no other call under way.

        One that is UNAVAILABLE before the second call began lets it begin at once (as of gRPC, gRFC A6).
        second: told when a call is made twice.
        """
        self._share.count()
        began = self._window.now()
        tasks = {asyncio.create_task(_of(attempt))}
        try:
            done, _ = await asyncio.wait(tasks, timeout=self._wait_seconds())
            if all(_unavailable(task) for task in done) and self._budget.rich and self._share.take():
                second()
                tasks.add(asyncio.create_task(_of(attempt)))
            answer = await _first({task for task in tasks if not task.done()} or tasks)
        finally:
            for task in tasks:
                task.cancel()
            # Gathered, so that what the slower one raised is seen, and asyncio does not complain.
            await asyncio.gather(*tasks, return_exceptions=True)
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
        # Both may have ended in the same turn.
        best = min(done, key=_failed)
        if not (_failed(best) and pending):
            return best.result()


def _failed(task: asyncio.Task[T]) -> bool:
    return not task.cancelled() and isinstance(task.exception(), errors.MeshError)


def _unavailable(task: asyncio.Task[T]) -> bool:
    return not task.cancelled() and isinstance(task.exception(), errors.Unavailable)


async def _of(attempt: Callable[[], Awaitable[T]]) -> T:
    return await attempt()
