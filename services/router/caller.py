"""Makes the calls of graphs over gRPC, with all that the policies of their nodes say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from opentelemetry import trace

from services.mesh import client, errors, instruments, tenant
from services.mesh.deadline import Deadline
from services.mesh.status import code_of
from services.mesh.timing import Stage, stage
from services.router.methods import Method
from services.router.pipelines.graph import Call
from services.router.pipelines.plan import Masker, NodeRun, Run, Scope
from services.router.pipelines.resilience.answers import Answers
from services.router.pipelines.resilience.breaker import Breakers
from services.router.pipelines.resilience.hedge import Hedging
from services.router.pipelines.resilience.limit import Turns
from services.router.pipelines.resilience.retry import RetryBudget, Retrying
from services.router.policies import Policies
from services.router.stream_caller import GrpcStreamCaller
from services.router.upstreams import Upstream

if TYPE_CHECKING:
    import grpc.aio


def stub(method: Method, upstream: Upstream) -> grpc.aio.UnaryUnaryMultiCallable[Any, Any]:
    """What calls a unary method that is known by its descriptors only."""
    request, response = GetMessageClass(method.request), GetMessageClass(method.response)
    return upstream.channel.unary_unary(
        f"/{method.name}", request_serializer=request.SerializeToString, response_deserializer=response.FromString
    )


class GraphCallers:
    """Makes the callers of nodes (services.router.compiling.Callers), which share budget, breakers and cache."""

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        *,
        masker: Masker,
        policies: Policies,
        cache_bytes: int = 0,
    ) -> None:
        """upstreams: by the service's full name, one for every service. cache_bytes: 0 keeps no answers."""
        self._upstreams = upstreams
        self.masker = masker
        self.policies = policies
        self.budget = RetryBudget()
        self.breakers = Breakers()
        self.answers = Answers(cache_bytes)
        instruments.OPEN_CIRCUITS.ask(self.breakers, lambda breakers: [(breakers.open_count(), {})])

    def unary(self, graph: str, node: Call, method: Method, build: Callable[[Scope], Message]) -> UnaryGrpcCaller:  # noqa: ARG002 - as the port has it
        """For a unary method. build: its request."""
        return UnaryGrpcCaller(self, node, method, build, stub(method, self._upstreams[method.service]))

    def stream(self, graph: str, node: Call, method: Method) -> GrpcStreamCaller:
        """For a method with a stream of requests or answers."""
        return GrpcStreamCaller(graph, node, method, self._upstreams[method.service])


class UnaryGrpcCaller:
    """The calls of one node (services.router.pipelines.plan.UnaryCaller).

    In this order: the cache, its turn, and for each attempt the breaker, where a slow call may be made twice.
    """

    def __init__(
        self,
        shared: GraphCallers,
        node: Call,
        method: Method,
        build: Callable[[Scope], Message],
        call: grpc.aio.UnaryUnaryMultiCallable[Any, Any],
    ) -> None:
        self._shared = shared
        self._node = node.node
        self._method = method
        self._build = build
        self._call = call
        self._ttl = node.cache.ttl if node.cache else None
        self._turns = Turns(node.limit) if node.limit else None
        if self._turns:
            instruments.QUEUE_WAITING.ask(self._turns, lambda turns: [(turns.waiting, {instruments.QUEUE: "graphs"})])
        self._retrying = Retrying(node.retry, shared.budget)
        self._hedging = Hedging(node.hedge, shared.budget) if node.hedge else None
        self._has_model = "model" in method.request.fields_by_name
        self._has_id = "request_id" in method.request.fields_by_name
        self._echoes_id = self._has_id and "request_id" in method.response.fields_by_name

    async def call(self, scope: Scope, deadline: Deadline, run: Run) -> Message:
        """Build the request and send it."""
        request = self._build(scope)
        if self._has_model and not request.model and self._shared.policies.has(self._method.name):  # type: ignore[attr-defined]  # as was found
            return await self._shared.policies.through(
                self._method.name,
                run.routing_key,
                "",
                # A mirrored call has a deadline of its own, and is none of the run's.
                lambda model, limit: self._of_model(
                    request, model, limit or deadline, Run(run.graph, run.routing_key) if limit else run
                ),
            )
        return await self._remembered(request, deadline, run.node(self._node))

    async def _of_model(self, request: Message, model: str, deadline: Deadline, run: Run) -> Message:
        asked = type(request)()
        asked.CopyFrom(request)
        asked.model = model  # type: ignore[attr-defined]  # it has one
        return await self._remembered(asked, deadline, run.node(self._node))

    async def _remembered(self, request: Message, deadline: Deadline, record: NodeRun) -> Message:
        if self._ttl is None:
            return await self._in_turn(request, deadline, record)
        # Ids are no part of the question.
        key, id_ = request, request.request_id if self._has_id else ""  # type: ignore[attr-defined]  # as was found
        if id_:
            key = type(request)()
            key.CopyFrom(request)
            key.ClearField("request_id")
        answer, was_there = await self._shared.answers.get(
            self._method.name,
            _of_whom(tenant.metadata()) + key.SerializeToString(deterministic=True),
            self._ttl,
            lambda: self._in_turn(request, deadline, record),
            lambda answer: answer.ByteSize(),
        )
        instruments.CACHE_LOOKUPS.add(1, {"cache": "graphs", "outcome": "hit" if was_there else "miss"})
        if not was_there:
            return answer
        record.cached += 1
        _tell("cached")
        if self._echoes_id and answer.request_id != id_:  # type: ignore[attr-defined]  # as was found
            answer, kept = type(answer)(), answer
            answer.CopyFrom(kept)
            answer.request_id = id_  # type: ignore[attr-defined]
        return answer

    async def _in_turn(self, request: Message, deadline: Deadline, record: NodeRun) -> Message:
        if self._turns is None:
            return await self._tried(request, deadline, record)
        async with self._turns.turn(deadline):
            return await self._tried(request, deadline, record)

    async def _tried(self, request: Message, deadline: Deadline, record: NodeRun) -> Message:
        breaker = self._shared.breakers.of(self._method.service, request.model if self._has_model else "")  # type: ignore[attr-defined]  # as was found

        def send() -> Awaitable[Message]:
            return _waited(client.call(self._call, request, method=self._method.name, deadline=deadline))

        def more(why: str, error: errors.MeshError | None = None) -> None:
            record.extra_calls += 1
            instruments.EXTRA_CALLS.add(1, {"reason": why, instruments.METHOD: self._method.name})
            _tell(why, {"rpc.response.status_code": code_of(error).name} if error else None)

        def once() -> Awaitable[Message]:
            return self._hedging.call(send, lambda: more("hedge")) if self._hedging else send()

        return await self._retrying.call(lambda: breaker.call(once), deadline, lambda error: more("retry", error))


async def _waited(answer: Awaitable[Message]) -> Message:
    with stage(Stage.CALL):
        return await answer


def _of_whom(named: Iterable[tuple[str, str]]) -> bytes:
    """Answers are kept apart by whose they are."""
    return b"".join(name.encode() + b"\0" for _, name in named)


def _tell(event: str, attributes: Mapping[str, str] | None = None) -> None:
    """Add an event to the node's span, which is over when a mirrored call is still under way."""
    span = trace.get_current_span()
    if span.is_recording():
        span.add_event(event, attributes)
