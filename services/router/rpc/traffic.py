"""The RPCs about traffic policies."""

from __future__ import annotations

from maas.router.v1 import router_pb2_grpc
from maas.router.v1 import traffic_pb2 as pb
from services.mesh import errors
from services.mesh.call import Context
from services.mesh.server import budget
from services.router.capabilities import Capabilities
from services.router.pipelines.documents import TRAFFIC, Document, Store
from services.router.pipelines.traffic.policy import Policy
from services.router.policies import Policies
from services.router.registry import Registry
from services.router.rpc.graphs import require_store, until
from services.router.runner import stream_inputs
from services.router.traffic_documents import GRAPHS, from_document, read_policy, to_body, variants

# Of a policy whose canary goes on at the same time.
_TRIES = 5


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
        target = _required(request.target)
        if self._store:
            self._store.get(TRAFFIC, target)  # Raises as long as nobody knows what is kept.
        return pb.GetTrafficPolicyResponse(policy=self._policies.message(target))

    async def ListTrafficPolicies(
        self, request: pb.ListTrafficPoliciesRequest, context: Context
    ) -> pb.ListTrafficPoliciesResponse:
        """All policies."""
        if self._store:
            self._store.list(TRAFFIC)  # Raises as long as nobody knows what is kept.
        found = [self._policies.message(target) for target in self._policies.targets()]
        return pb.ListTrafficPoliciesResponse(policies=found)

    async def SetTrafficPolicy(
        self, request: pb.SetTrafficPolicyRequest, context: Context
    ) -> pb.SetTrafficPolicyResponse:
        """A policy from now on."""
        store = require_store(self._store)
        policy = read_policy(request.policy)
        await self._require_variants(policy, context)
        async with until(budget(context)):
            document = await _set(store, request.policy)
        return pb.SetTrafficPolicyResponse(policy=from_document(document))

    async def DeleteTrafficPolicy(
        self, request: pb.DeleteTrafficPolicyRequest, context: Context
    ) -> pb.DeleteTrafficPolicyResponse:
        """The default answers again."""
        store = require_store(self._store)
        async with until(budget(context)):
            await store.delete(TRAFFIC, _required(request.target), etag=request.etag)
        return pb.DeleteTrafficPolicyResponse()

    async def _require_variants(self, policy: Policy, context: Context) -> None:
        """Raise NotFound for a graph, and InvalidArgument for a variant, that does not exist."""
        named = variants(policy)
        if policy.target.startswith(GRAPHS):
            graph = policy.target.removeprefix(GRAPHS)
            current = stream_inputs(self._registry.pick(graph).compiled.graph)
            for field, version in named.items():
                try:
                    chosen = await self._registry.find(f"{graph}@{version}")
                except errors.NotFound as error:
                    raise errors.InvalidArgument.field(f"policy.{field}", error.message) from None
                if stream_inputs(chosen.compiled.graph) != current:
                    text = f"version {version} takes other streams than the current one; call it by its version"
                    raise errors.InvalidArgument.field(f"policy.{field}", text)
            return
        known = await self._capabilities.models(policy.target.partition("/")[0], budget(context))
        for field, model in named.items():
            if model not in known:
                text = f"no model is called {errors.quoted(model)}; there are: {', '.join(sorted(known))}"
                raise errors.InvalidArgument.field(f"policy.{field}", text)


async def _set(store: Store, policy: pb.TrafficPolicy) -> Document:
    """Keep a policy. Without an etag it replaces whatever there is, but never unread: a canary's step must stay."""
    for left in reversed(range(_TRIES)):
        before = store.get(TRAFFIC, policy.target)
        if policy.etag and not (before and before.etag == policy.etag):
            # Of another replica, perhaps: then the canary is further than is known here.
            await store.catch_up()
            before = store.get(TRAFFIC, policy.target)
        body = to_body(policy, from_document(before) if before else None)
        etag = policy.etag or (before.etag if before else "")
        try:
            if etag:
                return await store.put(TRAFFIC, policy.target, body, etag=etag)
            return await store.create(TRAFFIC, policy.target, body)
        except (errors.Aborted, errors.AlreadyExists, errors.NotFound):
            if policy.etag or not left:
                raise
            await store.catch_up()
    raise AssertionError("the last try returns or raises")


def _required(target: str) -> str:
    if not target:
        raise errors.InvalidArgument.field("target", "is required")
    return target
