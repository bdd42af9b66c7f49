"""Makes a call again when it failed in a way that may pass."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.status import code_of
from services.router.pipelines.graph import Retry
from services.router.pipelines.resilience.breaker import CIRCUIT_OPEN, MEDIA_UNAVAILABLE
from services.router.pipelines.resilience.tokens import Tokens

T = TypeVar("T")


class RetryBudget:
    """One for the whole router: when more than about one in ten calls fail, none is made again."""

    def __init__(self) -> None:
        self._tokens = Tokens(100, 0.1)

    def succeeded(self) -> None:
        """A call went well."""
        self._tokens.earn()

    def failed(self) -> bool:
        """A call failed in a way that may pass; whether it may be made again."""
        self._tokens.lose()
        return self._tokens.rich

    @property
    def rich(self) -> bool:
        """Whether there is something to spend on calls beyond the first."""
        return self._tokens.rich


class Retrying:
    """The attempts of one node's calls, with "full jitter" between them, and never a wait beyond the deadline.

    The waits are those of "Exponential Backoff And Jitter" (Marc Brooker, 2015).
    """

    def __init__(self, policy: Retry, budget: RetryBudget) -> None:
        self._policy = policy
        self._codes = frozenset(policy.codes)
        self._budget = budget

    async def call(
        self, attempt: Callable[[], Awaitable[T]], deadline: Deadline, again: Callable[[errors.MeshError], None]
    ) -> T:
        """What an attempt gives. again: told before each further one. Raises what the last one raised.

        again: takes what the attempt before raised.
        """
        made = 0
        while True:
            try:
                answer = await attempt()
            except errors.MeshError as error:
                made += 1
                if not self._may_pass(error) or made >= self._policy.attempts:
                    raise
                seconds = self._wait_seconds(made, error)
                if seconds >= deadline.remaining_seconds():
                    raise
                failed = error
            else:
                self._budget.succeeded()
                return answer
            await asyncio.sleep(seconds)
            again(failed)

    def _may_pass(self, error: errors.MeshError) -> bool:
        """Whether to try again; what is not asked for the moment need not be asked again a moment later."""
        if code_of(error).name not in self._codes or error.reason == CIRCUIT_OPEN:
            return False
        # It costs those who call the mesh nothing that a place outside of it does not answer.
        return self._budget.rich if error.reason == MEDIA_UNAVAILABLE else self._budget.failed()

    def _wait_seconds(self, made: int, error: errors.MeshError) -> float:
        longest = min(self._policy.backoff * 2 ** (made - 1), self._policy.max_backoff)
        # A full queue tells when to come back; what cannot be reached may be back at once, or another replica is there.
        told = error.retry_after_seconds if isinstance(error, errors.Exhausted) else None
        return max(random.uniform(0, longest), told or 0.0)  # noqa: S311 - no secret
