"""How far a rollout is: what is kept, so that whoever goes on with it knows."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from services.mesh.repository import Served

# Of the replicas, one after another; at least one replica each.
SHARES = (0.0, 0.5, 1.0)
_MAX_EVENTS = 50


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


class Event(BaseModel):
    """Something that happened. at: seconds since 1970."""

    model_config = ConfigDict(frozen=True)

    at: float
    text: str


class Rollout(BaseModel):
    """One rollout.

    previous: the version before. configuration: its configuration as Triton has it, JSON, to load it again although a
    newer one lies in the repository. new_configuration: that of the new version, "" until it was loaded. before: what
    the previous one had done when the rollout began. step: of SHARES. placed: the replicas that were given the new
    version. settled: whether its end has been carried out everywhere. reason: of the last change, for people.
    created, updated: seconds since 1970.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    version: int
    previous: int
    configuration: str
    new_configuration: str = ""
    before: Served
    limits: Limits = Limits()
    step: int = 0
    stage: Stage = Stage.RUNNING
    placed: tuple[str, ...] = ()
    settled: bool = False
    reason: str = ""
    events: tuple[Event, ...] = ()
    created: float = 0.0
    updated: float = 0.0

    def wanted(self, replica: str) -> int:
        """The version that a replica is to serve."""
        if self.stage is Stage.RUNNING:
            return self.version if replica in self.placed else self.previous
        return self.version if self.stage is Stage.PROMOTED else self.previous

    def due(self, replicas: Collection[str], able: Collection[str]) -> list[str]:
        """Who is to be given the new version now, beside those that have it. able: of the replicas, to load it."""
        missing = _count(SHARES[self.step], len(replicas)) - len(set(self.placed) & set(replicas))
        return sorted(set(able) - set(self.placed))[: max(0, missing)]

    def give(self, replicas: Iterable[str], now: float) -> Rollout:
        """These get the new version. now: seconds since 1970, here as in all that follow."""
        return self._with(now, placed=(*self.placed, *replicas))

    def forward(self, replicas: int, reason: str, now: float) -> Rollout:
        """The next step that adds a replica, or the end."""
        for step in range(self.step + 1, len(SHARES)):
            if _count(SHARES[step], replicas) > _count(SHARES[self.step], replicas):
                return self._with(now, step=step, reason=reason).told(reason, now)
        return self.promote(reason, now)

    def promote(self, reason: str, now: float) -> Rollout:
        """Every replica gets the new version."""
        return self._end(Stage.PROMOTED, reason, now)

    def back(self, reason: str, now: float) -> Rollout:
        """Every replica gets the previous version."""
        return self._end(Stage.ROLLED_BACK, reason, now)

    def told(self, text: str, now: float) -> Rollout:
        """Something more happened. What happens again and again is told once."""
        if text in {event.text for event in self.events[-2:]}:
            return self
        return self._with(now, events=(*self.events, Event(at=now, text=text))[-_MAX_EVENTS:])

    def knowing(self, configuration: str, now: float) -> Rollout:
        """The new version was loaded, and has this configuration."""
        return self._with(now, new_configuration=configuration)

    def carried_out(self, now: float) -> Rollout:
        """Every replica serves what it is to serve."""
        return self._with(now, settled=True)

    def _end(self, stage: Stage, reason: str, now: float) -> Rollout:
        return self._with(now, stage=stage, reason=reason, settled=False).told(f"{stage}: {reason}", now)

    def _with(self, now: float, **changes: Any) -> Rollout:
        return self.model_copy(update={**changes, "updated": now})


def _count(share: float, replicas: int) -> int:
    return max(1, math.ceil(share * replicas))
