"""Whether a canary goes on, takes over, or goes back."""

from __future__ import annotations

import math
from dataclasses import dataclass

from services.router.pipelines.traffic.policy import Canary, State
from services.router.pipelines.traffic.tally import Tally

# Calls before errors alone, or slowness, can tell of a variant.
FEWEST = 5
# So rarely may a canary that fails as often as is allowed fail as often as this one did.
_LIKELY = 0.01
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


def likelihood(errors: int, calls: int, rate: float) -> float:
    """How likely so many errors or more are at a rate of 0..1, by the exact test of Clopper and Pearson (1934).

    Wilson's interval is no good here: of five calls it takes a single error for proof.
    """
    if rate <= 0:
        return 0.0 if errors else 1.0
    fewer = (
        math.lgamma(calls + 1)
        - math.lgamma(count + 1)
        - math.lgamma(calls - count + 1)
        + count * math.log(rate)
        + (calls - count) * math.log1p(-rate)
        for count in range(errors)
    )
    return max(0.0, 1.0 - math.fsum(math.exp(each) for each in fewer))


def failing(errors: int, calls: int, allowed: float) -> str:
    """What is wrong with so many errors, "" when they are no proof of a rate above the allowed one, 0..1."""
    if calls < FEWEST or errors / calls <= allowed or likelihood(errors, calls, allowed) > _LIKELY:
        return ""
    return f"{errors} of {calls} calls failed, where {allowed:.1%} are allowed"


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
