"""Makes the calls of one node whose requests or answers are a stream, over gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from google.protobuf.message_factory import GetMessageClass

from services.mesh import instruments
from services.mesh.deadline import Deadline
from services.mesh.exchange import exchange
from services.router.methods import Method
from services.router.pipelines.graph import Call
from services.router.pipelines.plan import Run
from services.router.pipelines.resilience.limit import Turns
from services.router.upstreams import Upstream


class GrpcStreamCaller:
    """The calls of one node (services.router.pipelines.plan.StreamCaller), as many at once as it allows."""

    def __init__(self, graph: str, node: Call, method: Method, upstream: Upstream) -> None:  # noqa: ARG002 - as unary ones
        """method: of any kind."""
        self._method = method.name
        self._turns = Turns(node.limit) if node.limit else None
        if self._turns:
            instruments.QUEUE_WAITING.ask(self._turns, lambda turns: [(turns.waiting, {instruments.QUEUE: "graphs"})])
        channel = upstream.channel
        kinds: Mapping[tuple[bool, bool], Callable[..., Any]] = {
            (False, False): channel.unary_unary,
            (False, True): channel.unary_stream,
            (True, False): channel.stream_unary,
            (True, True): channel.stream_stream,
        }
        self._rpc = kinds[method.client_streaming, method.server_streaming](
            f"/{method.name}",
            request_serializer=GetMessageClass(method.request).SerializeToString,
            response_deserializer=GetMessageClass(method.response).FromString,
        )

    def open(
        self,
        requests: AsyncIterator[object],
        deadline: Deadline,
        run: Run,  # noqa: ARG002 - the port has it for those who count calls
    ) -> AsyncGenerator[object, None]:
        """The answers, inside a client span that continues the current one."""
        answers: AsyncGenerator[object, None] = exchange(self._rpc, requests, method=self._method, deadline=deadline)
        return _in_turn(self._turns, answers, deadline) if self._turns else answers


async def _in_turn(
    turns: Turns, answers: AsyncGenerator[object, None], deadline: Deadline
) -> AsyncGenerator[object, None]:
    async with turns.turn(deadline), aclosing(answers):
        async for answer in answers:
            yield answer
