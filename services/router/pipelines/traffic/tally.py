"""What a variant did."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial

from services.router.pipelines.window import Window


@dataclass(slots=True)
class Mean:
    """A mean of numbers."""

    count: int = 0
    total: float = 0.0

    def add(self, value: float) -> None:
        """One more."""
        self.count += 1
        self.total += value

    @property
    def value(self) -> float:
        """The mean, 0 of none."""
        return self.total / self.count if self.count else 0.0


@dataclass(slots=True)
class Tally:
    """Calls that ended.

    errors: those that failed by the mesh's fault. refused: by the caller's, or cancelled. durations: of those that
    succeeded last, seconds; however long ago, since a canary with all the traffic is compared with those before it.
    """

    calls: int = 0
    errors: int = 0
    refused: int = 0
    durations: Window = field(default_factory=partial(Window, math.inf))
    score: Mean = field(default_factory=Mean)
    agreement: Mean = field(default_factory=Mean)

    def succeeded(self, seconds: float) -> None:
        """A call went well."""
        self.calls += 1
        self.durations.add(seconds)

    def failed(self) -> None:
        """A call failed by the mesh's fault."""
        self.calls += 1
        self.errors += 1

    def refuse(self) -> None:
        """A call failed by its caller's fault, or was cancelled: it tells nothing of the variant."""
        self.calls += 1
        self.refused += 1

    @property
    def telling(self) -> int:
        """Calls that tell something of the variant."""
        return self.calls - self.refused

    @property
    def error_rate(self) -> float:
        """Share of the telling calls that failed, 0 of none."""
        return self.errors / self.telling if self.telling else 0.0
