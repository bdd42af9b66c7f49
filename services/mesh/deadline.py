"""A deadline is an object with the time that remains; it is passed down to whatever does the work."""

from __future__ import annotations

import time
from dataclasses import dataclass

from services.mesh import errors


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in time by which a call must be answered."""

    monotonic_seconds: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The deadline that many seconds from now."""
        return cls(time.monotonic() + seconds)

    def remaining_seconds(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.monotonic_seconds - time.monotonic())

    def require_seconds(self) -> float:
        """Seconds left. Raises DeadlineExceeded when there are none, so that no work begins that nobody waits for."""
        remaining = self.remaining_seconds()
        if remaining <= 0:
            raise errors.DeadlineExceeded("the deadline passed before the work could begin")
        return remaining
