"""Whether a canary goes on, takes over, or goes back."""

from __future__ import annotations

from dataclasses import dataclass

from services.mesh.judgement import FEWEST, failing
from services.router.pipelines.traffic.policy import Canary, State
from services.router.pipelines.traffic.tally import Tally

_P95 = 0.95


@dataclass(frozen=True, slots=True)
class Verdict:
    """A change. step: the one to come."""

    state: State
    step: int
    reason: str


def judge(canary: Canary, seconds: float, tried: Tally, others: Tally) -> Verdict | None:
    """What is to become of a canary that runs; None: nothing yet.

    seconds: since its step began. tried: what the canary did in that step. others: what those before it did.
    """
    back = _fault(canary, tried, others)
    if back:
        return Verdict(State.ROLLED_BACK, canary.step, back)
    if tried.telling < canary.min_calls or seconds < canary.min_seconds:
        return None
    slow = _slower(canary, tried, others) or _worse(canary, tried, others)
    if slow:
        return Verdict(State.ROLLED_BACK, canary.step, slow)
    share = f"{canary.steps[canary.step]:.0%} of the traffic"
    if canary.step + 1 < len(canary.steps):
        return Verdict(State.RUNNING, canary.step + 1, f"{tried.telling} calls went well at {share}")
    return Verdict(State.PROMOTED, canary.step, f"{tried.telling} calls went well at {share}")


def _fault(canary: Canary, tried: Tally, others: Tally) -> str:
    return failing(tried.errors, tried.telling, others.error_rate + canary.max_error_rate_increase)


def _slower(canary: Canary, tried: Tally, others: Tally) -> str:
    if not tried.durations.count() or others.durations.count() < FEWEST:
        return ""
    p95, before = tried.durations.quantile(_P95), others.durations.quantile(_P95)
    if p95 <= before * canary.max_latency_ratio:
        return ""
    return f"its p95 is {p95:.3f} s, that of the others {before:.3f} s"


def _worse(canary: Canary, tried: Tally, others: Tally) -> str:
    if min(tried.score.count, others.score.count) < FEWEST:
        return ""
    if tried.score.value >= others.score.value - canary.max_score_decrease:
        return ""
    return f"its mean score is {tried.score.value:.3f}, that of the others {others.score.value:.3f}"
