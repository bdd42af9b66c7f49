"""Where rollouts are kept: the port."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.models.pipelines.rollout import Rollout

# Of so many models a rollout may be kept.
MAX_ROLLOUTS = 256


class NotKept(Exception):
    """There is no place for rollouts; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class Record:
    """A rollout as it is kept. revision: changes with every change, by whomever."""

    rollout: Rollout
    revision: str


class Kept(Protocol):
    """The last rollout of each model.

    Every method raises Unavailable (STATE_UNREACHABLE) when it cannot be read or written.
    """

    async def list(self) -> Sequence[Record]:
        """All of them; what nobody can read is left out."""
        ...

    async def create(self, rollout: Rollout) -> Record:
        """The first of a model. Raises AlreadyExists."""
        ...

    async def replace(self, record: Record, rollout: Rollout) -> Record:
        """Another in its place. Raises Aborted when somebody changed or deleted it since."""
        ...

    async def delete(self, record: Record) -> None:
        """Forget it. Raises Aborted when somebody changed it since; one that is gone is as well."""
        ...
