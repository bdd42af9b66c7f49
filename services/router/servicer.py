"""RouterService: decodes, delegates, encodes."""

from __future__ import annotations

from collections.abc import Mapping

from maas.router.v1 import router_pb2 as pb
from maas.router.v1 import router_pb2_grpc
from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.durations import to_duration
from services.mesh.interceptors import Context
from services.mesh.request import request_id
from services.mesh.server import budget
from services.router import capabilities
from services.router.caller import GraphCaller
from services.router.compiler import CompiledGraph
from services.router.pipelines import engine
from services.router.upstreams import Upstream
from services.router.values import read_inputs, to_value


class RouterServicer(router_pb2_grpc.RouterServiceServicer):
    """The RPCs of the router."""

    def __init__(
        self,
        graphs: Mapping[str, CompiledGraph],
        upstreams: Mapping[str, Upstream],
        *,
        capabilities_timeout_seconds: float,
    ) -> None:
        """graphs: by name. upstreams: by the service's full name, one for every service that a graph calls."""
        self._graphs = {name: (compiled, GraphCaller(compiled, upstreams)) for name, compiled in graphs.items()}
        self._upstreams = upstreams
        self._timeout_seconds = capabilities_timeout_seconds

    async def RunGraph(self, request: pb.RunGraphRequest, context: Context) -> pb.RunGraphResponse:
        """One graph, from its inputs to its outputs."""
        echo = request_id(request)
        compiled, caller = self._pick(request.graph)
        inputs = read_inputs(compiled.graph.inputs, request.inputs)
        finished = await engine.run(compiled.graph, inputs, caller, budget(context))
        return pb.RunGraphResponse(
            outputs={name: to_value(output.evaluate(finished.scope)) for name, output in compiled.outputs.items()},
            nodes=[_node(compiled, each) for each in finished.nodes],
            request_id=echo,
        )

    async def ListCapabilities(
        self, request: pb.ListCapabilitiesRequest, context: Context
    ) -> pb.ListCapabilitiesResponse:
        """Services, models and graphs, as they are now."""
        seconds = min(self._timeout_seconds, budget(context).remaining_seconds())
        return pb.ListCapabilitiesResponse(
            services=await capabilities.services(self._upstreams, Deadline.after(seconds)),
            graphs=[capabilities.graph(compiled) for compiled, _ in self._graphs.values()],
        )

    def _pick(self, name: str) -> tuple[CompiledGraph, GraphCaller]:
        if name not in self._graphs:
            raise errors.NotFound.named("graph", name, list(self._graphs))
        return self._graphs[name]


def _node(compiled: CompiledGraph, run: engine.NodeRun) -> pb.NodeRun:
    return pb.NodeRun(
        node=run.node,
        method=compiled.nodes[run.node].method.name,
        start_offset=to_duration(run.start_seconds),
        end_offset=to_duration(run.end_seconds),
    )
