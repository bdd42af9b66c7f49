"""Makes the calls of a graph over gRPC, each inside a span of its node."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from services.mesh import client, errors
from services.mesh.deadline import Deadline
from services.mesh.status import code_of
from services.router.compiler import CompiledGraph
from services.router.methods import Method
from services.router.pipelines.engine import Scope
from services.router.upstreams import Upstream

if TYPE_CHECKING:
    import grpc.aio

_tracer = trace.get_tracer("maas.router")


def stub(method: Method, upstream: Upstream) -> grpc.aio.UnaryUnaryMultiCallable[Any, Any]:
    """What calls a method that is known by its descriptors only."""
    request, response = GetMessageClass(method.request), GetMessageClass(method.response)
    return upstream.channel.unary_unary(
        f"/{method.name}", request_serializer=request.SerializeToString, response_deserializer=response.FromString
    )


class GraphCaller:
    """Calls the nodes of one graph (services.router.pipelines.engine.Caller)."""

    def __init__(self, compiled: CompiledGraph, upstreams: Mapping[str, Upstream]) -> None:
        self._graph = compiled.graph.name
        self._nodes = {
            name: (node.request, node.method.name, stub(node.method, upstreams[node.method.service]))
            for name, node in compiled.nodes.items()
        }

    async def call(self, node: str, scope: Scope, deadline: Deadline) -> Message:
        """Build the request of a node and send it."""
        request, method, callable_ = self._nodes[node]
        with _node_span(self._graph, node):
            answer: Message = await client.call(callable_, request.build(scope), method=method, deadline=deadline)
            return answer


@contextmanager
def _node_span(graph: str, node: str) -> Iterator[None]:
    """A span for one node, current inside the block, marked when the node fails."""
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
            span.set_status(StatusCode.ERROR, code)
            raise
