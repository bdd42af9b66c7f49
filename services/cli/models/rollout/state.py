"""How far a rollout is: what is kept, so that whoever goes on with it knows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field

# Of the replicas, one after another; at least one replica each.
SHARES = (0.0, 0.5, 1.0)


class Stage(StrEnum):
    """Running, or how it ended."""

    RUNNING = "running"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"


class Limits(BaseModel):
    """What a version must do to go on."""

    model_config = ConfigDict(frozen=True)

    min_calls: Annotated[int, Field(ge=1)] = 50
    min_seconds: Annotated[float, Field(ge=0)] = 30.0
    max_seconds: Annotated[float, Field(gt=0)] = 1800.0
    max_error_rate_increase: Annotated[float, Field(ge=0, le=1)] = 0.02
    max_latency_ratio: Annotated[float, Field(gt=0)] = 1.5


class Served(BaseModel):
    """What a version did: requests answered, requests failed, and the time of those that were answered, in all."""

    model_config = ConfigDict(frozen=True)

    answered: int = 0
    failed: int = 0
    seconds: float = 0.0

    @property
    def calls(self) -> int:
        """Both."""
        return self.answered + self.failed

    @property
    def error_rate(self) -> float:
        """0 of none."""
        return self.failed / self.calls if self.calls else 0.0

    @property
    def mean_seconds(self) -> float:
        """0 of none."""
        return self.seconds / self.answered if self.answered else 0.0

    def __add__(self, other: Served) -> Served:
        """Both together."""
        return Served(
            answered=self.answered + other.answered,
            failed=self.failed + other.failed,
            seconds=self.seconds + other.seconds,
        )

    def since(self, before: Served) -> Served:
        """What is new. A model that was loaded anew began to count anew."""
        if self.answered < before.answered or self.failed < before.failed:
            return self
        return Served(
            answered=self.answered - before.answered,
            failed=self.failed - before.failed,
            seconds=self.seconds - before.seconds,
        )


class Rollout(BaseModel):
    """One rollout.

    previous: the version before. configuration: its configuration as Triton has it, JSON, to load it again although a
    newer one lies in the repository. before: what it had done when the rollout began. step: of SHARES.
    reason: of the last change, for people.
    """

    model: str
    version: int
    previous: int
    configuration: str
    before: Served
    limits: Limits = Limits()
    step: int = 0
    stage: Stage = Stage.RUNNING
    reason: str = ""

    def chosen(self, replicas: Sequence[str]) -> set[str]:
        """The replicas that are to have the new version now; always the same of the same replicas."""
        if self.stage is Stage.ROLLED_BACK:
            return set()
        share = 1.0 if self.stage is Stage.PROMOTED else SHARES[self.step]
        return set(sorted(replicas)[: _count(share, len(replicas))])

    def forward(self, replicas: int, reason: str) -> Rollout:
        """The next step that adds a replica, or the end."""
        for step in range(self.step + 1, len(SHARES)):
            if _count(SHARES[step], replicas) > _count(SHARES[self.step], replicas):
                return self.model_copy(update={"step": step, "reason": reason})
        return self.model_copy(update={"stage": Stage.PROMOTED, "reason": reason})

    def back(self, reason: str) -> Rollout:
        """Every replica gets the previous version."""
        return self.model_copy(update={"stage": Stage.ROLLED_BACK, "reason": reason})


def _count(share: float, replicas: int) -> int:
    return max(1, math.ceil(share * replicas))


class Kept(Protocol):
    """Where rollouts are kept."""

    def read(self, model: str) -> Rollout | None:
        """The last one of a model."""

    def write(self, rollout: Rollout) -> None:
        """Replace it."""
