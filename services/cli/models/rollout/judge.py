"""Whether a version goes on, or goes back."""

from __future__ import annotations

from services.cli.models.rollout.state import Limits, Served
from services.router.pipelines.traffic.judge import likelihood

# Calls before errors alone can end it.
_FEWEST = 5
# So rarely may a version that fails as often as is allowed fail as often as this one did.
_LIKELY = 0.01


def fault(limits: Limits, tried: Served, others: Served) -> str:
    """What is wrong with a version by what it did, or "". others: what the previous one did."""
    allowed = min(others.error_rate + limits.max_error_rate_increase, 0.999)
    unlikely = tried.calls >= _FEWEST and likelihood(tried.failed, tried.calls, max(allowed, 1e-9)) <= _LIKELY
    if tried.error_rate > allowed and unlikely:
        return f"{tried.failed} of {tried.calls} calls failed, where {allowed:.1%} are allowed"
    if tried.answered < limits.min_calls or others.answered < _FEWEST:
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
