"""Seconds to protobuf durations and back."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from services.mesh import errors


def to_duration(seconds: float) -> Duration:
    """Of whole microseconds: more is rounding."""
    found = Duration()
    found.FromMicroseconds(round(seconds * 1e6))
    return found


def to_seconds(duration: Duration) -> float:
    """A duration that one of us made."""
    return duration.seconds + duration.nanos / 1e9


def seconds_within(field: str, duration: Duration | None, *, default: float, low: float, high: float) -> float:
    """A duration that a caller chose. None: `default`. Raises InvalidArgument naming the field and the limits."""
    if duration is None:
        return default
    seconds = to_seconds(duration)
    if not low <= seconds <= high:
        raise errors.InvalidArgument.field(field, f"takes {low:g} to {high:g} seconds, got {seconds:g}")
    return seconds
