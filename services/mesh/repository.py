"""Model servers as keepers of versions: the port to their repositories. Triton's adapter is services.mesh.triton."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

VersionState = Literal["READY", "LOADING", "UNLOADING", "UNAVAILABLE", ""]
# The reason of a version that somebody unloaded.
UNLOADED = "unloaded"


@dataclass(frozen=True, slots=True)
class Held:
    """A version of a model that a replica knows.

    version: 0 for a model of which it never tried to load any. reason: of the state, without paths.
    """

    model: str
    version: int
    state: VersionState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Served:
    """What a version did since it was loaded: calls answered and failed, and the time of those answered, in all."""

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
        return Served(self.answered + other.answered, self.failed + other.failed, self.seconds + other.seconds)

    def anew(self, before: Served) -> bool:
        """Whether it was loaded anew since, and so began to count anew."""
        return self.answered < before.answered or self.failed < before.failed

    def since(self, before: Served) -> Served:
        """What is new."""
        if self.anew(before):
            return self
        return Served(self.answered - before.answered, self.failed - before.failed, self.seconds - before.seconds)


class Replica(Protocol):
    """One model server.

    Every method raises Unavailable (TRITON_UNREACHABLE) when it does not answer.
    """

    @property
    def name(self) -> str:
        """By which people know it."""
        ...

    async def held(self) -> list[Held]:
        """Every version of every model that it knows."""
        ...

    async def configuration(self, model: str) -> str:
        """Of a model that is loaded, as JSON. Raises NotFound."""
        ...

    async def load(self, model: str, configuration: str = "") -> None:
        """Load what the repository has, by its own configuration or by another, JSON.

        Calls that have begun are finished by what served before, which goes on until the new version is warmed up.
        Raises NotFound, and FailedPrecondition (LOAD_FAILED) when it cannot be loaded.
        """
        ...

    async def unload(self, model: str) -> None:
        """Finish the calls that have begun, and take no more. Raises as `load` does."""
        ...

    async def served(self, model: str, version: int) -> Served:
        """What a version did; nothing when it is not loaded."""
        ...


class Fleet(Protocol):
    """All replicas of the model server."""

    async def replicas(self) -> Sequence[Replica]:
        """Those that there are now, by name. Raises Unavailable when nobody knows."""
        ...
