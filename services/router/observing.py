"""Each run of a node as a span."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace

from services.mesh import timing
from services.mesh.pieces import piece

_tracer = trace.get_tracer("maas.router")


class SpanObserver:
    """A span for each run of a node, current inside the block, marked when the node fails."""

    @contextmanager
    def node(self, graph: str, node: str) -> Iterator[None]:
        """Around one run of a node."""
        with timing.node(node), piece(f"node {node}", {"maas.graph": graph, "maas.node": node}, _tracer):
            yield
