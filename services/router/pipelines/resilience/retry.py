"""Makes a call again when it failed in a way that may pass."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, stop_after_attempt, wait_random_exponential

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.status import code_of
from services.router.pipelines.graph import Retry
from services.router.pipelines.resilience.breaker import CIRCUIT_OPEN
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


class Retrying:
    """The attempts of one node's calls: full jitter, and never a wait beyond the deadline."""

    def __init__(self, policy: Retry, budget: RetryBudget) -> None:
        self._codes = frozenset(policy.codes)
        self._budget = budget
        self._once = policy.attempts == 1
        self._stop = stop_after_attempt(policy.attempts)
        self._wait = wait_random_exponential(multiplier=policy.backoff, max=policy.max_backoff)

    async def call(self, attempt: Callable[[], Awaitable[T]], deadline: Deadline, again: Callable[[], None]) -> T:
        """What an attempt gives. again: told before each further one. Raises what the last one raised."""
        if self._once:
            return await attempt()

        async def one() -> T:
            answer = await attempt()
            self._budget.succeeded()
            return answer

        def stop(state: RetryCallState) -> bool:
            return self._stop(state) or state.upcoming_sleep >= deadline.remaining_seconds()

        retrying = AsyncRetrying(
            retry=self._wanted, wait=self._seconds, stop=stop, before_sleep=lambda _state: again(), reraise=True
        )
        return await retrying(one)

    def _wanted(self, state: RetryCallState) -> bool:
        error = _error(state)
        # What is not asked for the moment need not be asked again a moment later.
        return (
            error is not None
            and code_of(error).name in self._codes
            and error.reason != CIRCUIT_OPEN
            and self._budget.failed()
        )

    def _seconds(self, state: RetryCallState) -> float:
        error = _error(state)
        # A full queue tells when to come back; what cannot be reached may be back at once, or another replica is there.
        told = error.retry_after_seconds if isinstance(error, errors.Exhausted) else None
        return max(self._wait(state), told or 0.0)


def _error(state: RetryCallState) -> errors.MeshError | None:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, errors.MeshError) else None
