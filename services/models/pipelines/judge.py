"""Whether a version goes on, or goes back."""

from __future__ import annotations

from services.mesh.judgement import FEWEST, failing
from services.mesh.repository import Served
from services.models.pipelines.rollout import Limits

# Where the previous version always failed there is still something to be worse than.
_HIGHEST_RATE = 0.999


def fault(limits: Limits, tried: Served, others: Served) -> str:
    """What is wrong with a version by what it did, or "". others: what the previous one did."""
    allowed = min(others.error_rate + limits.max_error_rate_increase, _HIGHEST_RATE)
    if wrong := failing(tried.failed, tried.calls, allowed):
        return wrong
    if tried.answered < limits.min_calls or others.answered < FEWEST:
        return ""
    if tried.mean_seconds <= others.mean_seconds * limits.max_latency_ratio:
        return ""
    return (
        f"a call takes {tried.mean_seconds * 1000:.1f} ms in Triton, "
        f"of the previous version {others.mean_seconds * 1000:.1f} ms"
    )


def passed(limits: Limits, tried: Served, seconds: float) -> bool:
    """Whether a version without a fault has shown enough. seconds: since its step began."""
    return tried.calls >= limits.min_calls and seconds >= limits.min_seconds
