"""Models that are watched while they run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Protocol

from services.mesh.deadline import Deadline
from services.mesh.drift.monitor import DriftMonitor
from services.mesh.models import ModelCard, ModelSource
from services.mesh.ports import Array, Inference


class InferenceAndSource(Inference, ModelSource, Protocol):
    """Runs models and lists them."""


class WatchedInference:
    """The same models; what they answer at once is also offered to a monitor. Pieces of streams are not."""

    def __init__(self, inner: InferenceAndSource, monitor: DriftMonitor) -> None:
        self._inner = inner
        self._monitor = monitor

    async def infer(
        self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str], *, deadline: Deadline
    ) -> dict[str, Array]:
        """See services.mesh.ports.Inference."""
        answer = await self._inner.infer(model, inputs, outputs, deadline=deadline)
        self._monitor.offer(model, inputs, answer)
        return answer

    def stream(
        self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str], *, deadline: Deadline
    ) -> AsyncGenerator[dict[str, Array], None]:
        """See services.mesh.ports.Inference."""
        return self._inner.stream(model, inputs, outputs, deadline=deadline)

    async def list_models(self, known: Mapping[str, ModelCard]) -> tuple[dict[str, ModelCard], set[str]]:
        """See services.mesh.models.ModelSource; the monitor learns which models there are."""
        cards, ready = await self._inner.list_models(known)
        self._monitor.learn(cards)
        return cards, ready
