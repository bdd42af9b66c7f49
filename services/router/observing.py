"""Each run of a node as a span."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import StatusCode

from services.mesh import errors
from services.mesh.status import code_of

_tracer = trace.get_tracer("maas.router")


class SpanObserver:
    """A span for each run of a node, current inside the block, marked when the node fails."""

    @contextmanager
    def node(self, graph: str, node: str) -> Iterator[None]:
        """Around one run of a node."""
        with _tracer.start_as_current_span(
            f"node {node}",
            attributes={"maas.graph": graph, "maas.node": node},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except (errors.MeshError, asyncio.CancelledError) as error:
                code = code_of(error).name if isinstance(error, errors.MeshError) else "CANCELLED"
                span.set_attribute("error.type", code)
                if isinstance(error, errors.MeshError):
                    # For example CIRCUIT_OPEN, QUEUE_FULL or BUDGET_TOO_SHORT.
                    span.set_attribute("maas.error.reason", error.reason)
                span.set_status(StatusCode.ERROR, code)
                raise
