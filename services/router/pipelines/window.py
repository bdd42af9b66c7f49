"""What was measured lately."""

from __future__ import annotations

import time
from collections import deque

MINUTE_SECONDS = 60.0
_KEPT = 512
# For so long a quantile is not computed again.
_FRESH_SECONDS = 0.1


class Window:
    """Durations of the last minute, 512 at most."""

    def __init__(self, seconds: float = MINUTE_SECONDS) -> None:
        """seconds: what is older does not count."""
        self._seconds = seconds
        self._kept: deque[tuple[float, float]] = deque(maxlen=_KEPT)
        self._sorted: list[float] = []
        self._sorted_at = float("-inf")

    @staticmethod
    def now() -> float:
        """Seconds, to measure by."""
        return time.monotonic()

    def add(self, seconds: float) -> None:
        """One more."""
        self._kept.append((self.now(), seconds))

    def count(self) -> int:
        """How many there are."""
        self._refresh()
        return len(self._sorted)

    def values(self) -> list[float]:
        """All of them, the smallest first."""
        self._refresh()
        return self._sorted

    def quantile(self, share: float) -> float:
        """What so much of them took at most; there is at least one."""
        self._refresh()
        return self._sorted[min(int(share * len(self._sorted)), len(self._sorted) - 1)]

    def _refresh(self) -> None:
        now = self.now()
        if now - self._sorted_at < _FRESH_SECONDS:
            return
        while self._kept and self._kept[0][0] < now - self._seconds:
            self._kept.popleft()
        self._sorted = sorted(seconds for _, seconds in self._kept)
        self._sorted_at = now
