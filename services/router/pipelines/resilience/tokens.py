"""Budgets: so that help against an outage does not become a part of it."""

from __future__ import annotations


class Tokens:
    """Counts down with what is spent and up with what went well.

    As gRPC throttles its own retries (gRFC A6): something is spent only while more than half of the tokens are left.
    """

    def __init__(self, maximum: float, gain: float) -> None:
        """gain: tokens for each call that went well."""
        self._maximum = maximum
        self._gain = gain
        self._left = maximum

    def earn(self) -> None:
        """A call went well."""
        self._left = min(self._maximum, self._left + self._gain)

    def lose(self) -> None:
        """A call failed."""
        self._left = max(0.0, self._left - 1)

    @property
    def rich(self) -> bool:
        """Whether something may be spent."""
        return self._left > self._maximum / 2


class Share:
    """Lets a share of calls do something, and no more than a few at once after a quiet time."""

    def __init__(self, share: float, burst: float = 5.0) -> None:
        self._share = share
        self._burst = burst
        self._left = 1.0

    def count(self) -> None:
        """A call."""
        self._left = min(self._burst, self._left + self._share)

    def take(self) -> bool:
        """Whether one more may do it."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
