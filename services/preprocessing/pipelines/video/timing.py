"""When frames are shown, and which of them are wanted."""

from __future__ import annotations

# A stamp that lies so far ahead, or so far back, belongs to another clock.
_LEAP_SECONDS = 3600.0
_SLIP_SECONDS = 1.0
# What two frames are apart at least: stamps that stand still or step back are moved on by it.
_STEP_SECONDS = 0.001
# Stamps in milliseconds are up to half a one beside the truth.
_ROUNDING_SECONDS = 0.002
_DEFAULT_RATE = 25.0
_RATES = (0.01, 1000.0)


class Clock:
    """Gives each frame an offset from the first one, always rising, whatever the file says of its times."""

    def __init__(self, frames_per_second: float | None) -> None:
        """frames_per_second: what the file says of itself, believed for frames without a time."""
        low, high = _RATES
        sound = frames_per_second is not None and low <= frames_per_second <= high
        self._period = 1 / (frames_per_second if sound and frames_per_second else _DEFAULT_RATE)
        self._zero: float | None = None
        self._last = -self._period

    def offset(self, seconds: float | None) -> float:
        """The offset of the next frame.  seconds: its time in the file, None for none."""
        following = self._last + self._period
        if seconds is None:
            at = following
        else:
            if self._zero is None:
                self._zero = seconds - max(0.0, following)
            at = seconds - self._zero
            if not self._last - _SLIP_SECONDS <= at <= self._last + _LEAP_SECONDS:
                at, self._zero = following, seconds - following
        self._last = max(at, self._last + _STEP_SECONDS, 0.0)
        return self._last

    @property
    def duration_seconds(self) -> float:
        """To the end of the last frame; 0 when there was none."""
        return self._last + self._period


class Sampler:
    """Chooses frames at a steady rate."""

    def __init__(self, frames_per_second: float) -> None:
        self._period = 1 / frames_per_second
        self._due = 0.0

    def wants(self, offset: float) -> bool:
        """Whether the frame at that offset is the first that is due."""
        if offset < self._due - _ROUNDING_SECONDS:
            return False
        self._due += self._period
        if self._due <= offset:
            self._due = offset + self._period
        return True
