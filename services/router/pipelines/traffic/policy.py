"""Traffic policies, and the choice of a variant for one call."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """How far a canary is."""

    RUNNING = "running"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"


@dataclass(frozen=True, slots=True)
class Share:
    """A variant and its part of the sum of all weights."""

    variant: str
    weight: float


@dataclass(frozen=True, slots=True)
class Shadow:
    """A variant that gets copies of so much of the calls. agreement: a CEL expression over `answer` and `shadow`."""

    variant: str
    share: float
    agreement: str = ""


@dataclass(frozen=True, slots=True)
class Canary:
    """A variant that is to take over in steps of shares of the traffic. score: a CEL expression over `answer`."""

    variant: str
    steps: tuple[float, ...]
    min_calls: int
    min_seconds: float
    max_error_rate_increase: float
    max_latency_ratio: float
    score: str
    max_score_decrease: float
    state: State
    step: int


@dataclass(frozen=True, slots=True)
class Policy:
    """Who answers the calls to a target."""

    target: str
    shares: tuple[Share, ...]
    shadow: Shadow | None = None
    canary: Canary | None = None

    @property
    def variants(self) -> set[str]:
        """Those that it names."""
        return {each.variant for each in (*self.shares, self.shadow, self.canary) if each is not None}


def choose(policy: Policy, routing_key: str, draw: Callable[[], float] = random.random) -> str:
    """The variant for a call; "" when the policy names none.

    Calls of a key go to one variant, found by weighted rendezvous hashing (Schindelhauer and Schomaker, 2005), so that
    a change of weights moves only the keys that it must. draw: a number of 0..1 for calls without a key.
    """
    canary = policy.canary
    if canary is not None and canary.state is State.PROMOTED:
        return canary.variant
    if canary is not None and canary.state is State.RUNNING:
        place = _place(policy.target, routing_key, "canary") if routing_key else draw()
        if place < canary.steps[canary.step]:
            return canary.variant
    shares = [share for share in policy.shares if share.weight > 0]
    if not shares:
        return ""
    if routing_key:
        return min(
            shares,
            key=lambda share: -math.log(_place(policy.target, routing_key, share.variant)) / share.weight,
        ).variant
    place = draw() * sum(share.weight for share in shares)
    for share in shares:
        place -= share.weight
        if place < 0:
            return share.variant
    return shares[-1].variant


def _place(*parts: str) -> float:
    """A number above 0 and below 1 that is always the same for the same texts."""
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest()
    return (int.from_bytes(digest) + 1) / (2**64 + 2)
