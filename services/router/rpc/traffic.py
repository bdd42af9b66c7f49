"""The RPCs about traffic policies."""

from __future__ import annotations

from maas.router.v1 import router_pb2_grpc
from maas.router.v1 import traffic_pb2 as pb
from services.mesh import errors
from services.mesh.interceptors import Context
from services.mesh.server import budget
from services.router.capabilities import Capabilities
from services.router.pipelines.documents import TRAFFIC, Store
from services.router.pipelines.traffic.policy import Policy
from services.router.policies import Policies
from services.router.registry import Registry
from services.router.rpc.graphs import require_store
from services.router.traffic_documents import GRAPHS, from_document, read_policy, to_body, variants


class TrafficRpcs(router_pb2_grpc.RouterServiceServicer):
    """Who answers which calls."""

    _store: Store | None
    _registry: Registry
    _policies: Policies
    _capabilities: Capabilities

    async def GetTrafficPolicy(
        self, request: pb.GetTrafficPolicyRequest, context: Context
    ) -> pb.GetTrafficPolicyResponse:
        """One policy, with what this replica saw."""
        return pb.GetTrafficPolicyResponse(policy=self._policies.message(request.target))

    async def ListTrafficPolicies(
        self, request: pb.ListTrafficPoliciesRequest, context: Context
    ) -> pb.ListTrafficPoliciesResponse:
        """All policies."""
        found = [self._policies.message(target) for target in self._policies.targets()]
        return pb.ListTrafficPoliciesResponse(policies=found)

    async def SetTrafficPolicy(
        self, request: pb.SetTrafficPolicyRequest, context: Context
    ) -> pb.SetTrafficPolicyResponse:
        """A policy from now on."""
        store = require_store(self._store)
        policy = read_policy(request.policy)
        await self._require_variants(policy, context)
        before = store.get(TRAFFIC, policy.target)
        body = to_body(request.policy, from_document(before) if before else None)
        if before is None and not request.policy.etag:
            document = await store.create(TRAFFIC, policy.target, body)
        else:
            document = await store.put(TRAFFIC, policy.target, body, etag=request.policy.etag)
        return pb.SetTrafficPolicyResponse(policy=from_document(document))

    async def DeleteTrafficPolicy(
        self, request: pb.DeleteTrafficPolicyRequest, context: Context
    ) -> pb.DeleteTrafficPolicyResponse:
        """The default answers again."""
        await require_store(self._store).delete(TRAFFIC, request.target, etag=request.etag)
        return pb.DeleteTrafficPolicyResponse()

    async def _require_variants(self, policy: Policy, context: Context) -> None:
        """Raise NotFound for a graph, and InvalidArgument for a variant, that does not exist."""
        named = variants(policy)
        if policy.target.startswith(GRAPHS):
            graph = policy.target.removeprefix(GRAPHS)
            self._registry.pick(graph)
            for field, version in named.items():
                try:
                    await self._registry.find(f"{graph}@{version}")
                except errors.NotFound as error:
                    raise errors.InvalidArgument.field(f"policy.{field}", error.message) from None
            return
        known = await self._capabilities.models(policy.target.partition("/")[0], budget(context))
        for field, model in named.items():
            if model not in known:
                text = f"no model is called {model!r}; there are: {', '.join(sorted(known))}"
                raise errors.InvalidArgument.field(f"policy.{field}", text)
