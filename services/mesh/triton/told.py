"""What a streamed call of a model says of itself while it runs, on the call's span."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from services.mesh.triton.execution import EXECUTION_NS, Execution
from services.mesh.triton.generation import Generation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry import trace

    from services.mesh.ports import Array


class Told:
    """Is told of each response."""

    def __init__(self, model: str, span: trace.Span, outputs: Sequence[str]) -> None:
        """outputs: those that were asked for."""
        self._model, self._span = model, span
        self._generation = Generation() if Generation.is_wanted(outputs) else None
        self._execution: Array | None = None
        self._sent_ns = time.time_ns()
        self._first_ns: int | None = None
        self._last_ns = self._sent_ns
        span.set_attribute("maas.model", model)

    def take(self, arrays: dict[str, Array]) -> dict[str, Array]:
        """A response that has just come; without the times, which nobody else asked for."""
        self._last_ns = time.time_ns()
        if self._first_ns is None:
            self._first_ns = self._last_ns
            self._span.add_event("first response")
        if EXECUTION_NS in arrays:
            self._execution = arrays.pop(EXECUTION_NS)
        if self._generation is not None:
            self._generation.take(arrays)
        return arrays

    def end(self) -> Execution | None:
        """No more come, whether the call ended well or was left. When the model worked, where it told."""
        if self._generation is not None:
            first = None if self._first_ns is None else (self._first_ns - self._sent_ns) / 1e9
            self._generation.tell(self._model, self._span, first)
        if self._execution is None:
            return None
        times = Execution.of(self._sent_ns, self._last_ns, self._execution)
        times.tell(self._model, self._span, first_response_ns=self._first_ns)
        return times
