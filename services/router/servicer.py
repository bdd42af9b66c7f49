"""RouterService: decodes, delegates, encodes. Most RPCs stand in services/router/rpc, one module a subject."""

from __future__ import annotations

from maas.router.v1 import router_pb2 as pb
from maas.router.v1 import router_pb2_grpc
from services.mesh.call import Context
from services.mesh.deadline import Deadline
from services.mesh.request import request_id
from services.mesh.server import budget
from services.router.capabilities import Capabilities
from services.router.pipelines.documents import Store
from services.router.policies import Policies
from services.router.registry import Registry
from services.router.rpc.graphs import GraphRpcs
from services.router.rpc.streaming import StreamingRpcs, run_whole
from services.router.rpc.traffic import TrafficRpcs
from services.router.runner import Runner


class RouterServicer(GraphRpcs, StreamingRpcs, TrafficRpcs, router_pb2_grpc.RouterServiceServicer):
    """The RPCs of the router."""

    def __init__(
        self,
        registry: Registry,
        runner: Runner,
        policies: Policies,
        store: Store | None,
        *,
        capabilities: Capabilities,
        capabilities_timeout_seconds: float,
    ) -> None:
        """store: None when this mesh keeps no graphs and policies."""
        self._registry = registry
        self._runner = runner
        self._policies = policies
        self._store = store
        self._capabilities = capabilities
        self._timeout_seconds = capabilities_timeout_seconds

    async def RunGraph(self, request: pb.RunGraphRequest, context: Context) -> pb.RunGraphResponse:
        """One graph, from its inputs to its outputs."""
        echo = request_id(request)
        answer = await run_whole(
            self._runner, request.graph, request.inputs, budget(context), routing_key=request.routing_key
        )
        answer.request_id = echo
        return answer

    async def ListCapabilities(
        self, request: pb.ListCapabilitiesRequest, context: Context
    ) -> pb.ListCapabilitiesResponse:
        """Services, models and graphs, as they are now."""
        seconds = min(self._timeout_seconds, budget(context).remaining_seconds())
        return await self._capabilities.all(Deadline.after(seconds))
