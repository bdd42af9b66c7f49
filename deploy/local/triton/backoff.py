"""How long to wait before trying again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable


class Backoff:
    """Waits that double with each failure, up to a bound; failures older than the window are forgotten."""

    def __init__(
        self,
        *,
        first_seconds: float,
        longest_seconds: float,
        window_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """clock: seconds that never go back."""
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._window_seconds = window_seconds
        self._clock = clock
        self._failures: deque[float] = deque()

    def failed(self) -> int:
        """Note a failure now, and return how many there are in the window."""
        now = self._clock()
        self._failures.append(now)
        while self._failures[0] <= now - self._window_seconds:
            self._failures.popleft()
        return len(self._failures)

    @property
    def wait_seconds(self) -> float:
        """How long to wait after the failures noted so far."""
        # The exponent is bounded because 2.0**2000 overflows.
        doubled = self._first_seconds * 2.0 ** min(len(self._failures) - 1, 30)
        return min(doubled, self._longest_seconds) if self._failures else 0.0
