"""Whether something new fails more often than it may: one judgement for canaries and for new versions of models."""

from __future__ import annotations

import math

# Calls before errors alone, or slowness, can tell of what is new.
FEWEST = 5
# So rarely may what fails as often as is allowed fail as often as this did.
_LIKELY = 0.01


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
