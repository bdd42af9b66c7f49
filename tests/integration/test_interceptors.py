"""What happens around every handler, for all four kinds of RPC, over a real socket."""

import asyncio
import time
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from opentelemetry.trace import SpanKind, StatusCode
from structlog.testing import capture_logs

from services.mesh import errors
from services.mesh.client import trace_metadata
from services.mesh.priority import is_low_priority, low_priority
from services.mesh.server import Servicer
from services.mesh.testing import serve
from services.mesh.timing import Stage, stage
from tests.failure import failure

SERVICE = "maas.test.v1.Echo"
KINDS = ["unary_unary", "unary_stream", "stream_unary", "stream_stream"]


class Echo:
    """A method of each kind that answers b"ok", after running `act`."""

    def __init__(self, act):
        self.act = act
        self.entered = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def _act(self, request, context):
        self.entered.set()
        try:
            if not isinstance(request, bytes):
                async for _ in request:
                    pass
            await self.act(context)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def unary(self, request, context):
        await self._act(request, context)
        return b"ok"

    async def stream(self, request, context):
        yield b"first"
        await self._act(request, context)
        yield b"ok"

    def add(self, implementation, server):
        handlers = {
            kind: getattr(grpc, f"{kind}_rpc_method_handler")(
                self.stream if kind.endswith("stream") else self.unary, request_deserializer=bytes
            )
            for kind in KINDS
        }
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])


@asynccontextmanager
async def echo(act, **options):
    implementation = Echo(act)
    async with serve(Servicer(SERVICE, implementation.add, implementation), **options) as channel:
        yield channel, implementation


async def call(channel, kind, timeout=5, metadata=None, *, then_silent=False):  # noqa: ASYNC109 - gRPC's own name
    """All that a method answers."""

    async def requests():
        yield b"request"
        if then_silent:
            await asyncio.Event().wait()

    invoke = getattr(channel, kind)(f"/{SERVICE}/{kind}")
    argument = requests() if kind.startswith("stream") else b"request"
    running = invoke(argument, timeout=timeout, metadata=metadata)
    try:
        if kind.endswith("unary"):
            return [await running]
        return [response async for response in running]
    finally:
        # grpc.aio does not cancel a stream when the task that reads it is cancelled.
        running.cancel()


async def nothing(context):
    pass


async def fails(error):
    raise error


async def server_span(spans):
    """The server's span, once it has ended: the client may have its answer a moment earlier."""
    async with asyncio.timeout(5):
        while not (found := [span for span in spans.get_finished_spans() if span.kind is SpanKind.SERVER]):
            await asyncio.sleep(0.01)
    return found[0]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_span_continues_the_caller_s_trace(kind, spans):
    """The server's span has the caller's trace id and parent, the method and the status, for every kind of RPC."""
    trace_id, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    async with echo(nothing) as (channel, _):
        await call(channel, kind, metadata=[("traceparent", f"00-{trace_id}-{parent}-01")])
        span = await server_span(spans)
    assert format(span.context.trace_id, "032x") == trace_id
    assert format(span.parent.span_id, "016x") == parent
    counts = {"maas.stream.requests": 1} if kind.startswith("stream") else {}
    counts |= {"maas.stream.responses": 2} if kind.endswith("stream") else {}
    assert span.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": f"{SERVICE}/{kind}",
        "rpc.response.status_code": "OK",
        **counts,
    }
    assert [event.name for event in span.events] == ["first response"] * kind.endswith("stream")


@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_becomes_its_status(kind, spans):
    """A domain error ends any kind of RPC with its own code, and the span says so."""
    async with echo(lambda context: fails(errors.Unavailable("busy"))) as (channel, _):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, kind)
        span = await server_span(spans)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert span.attributes["rpc.response.status_code"] == "UNAVAILABLE"
    assert span.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize("kind", KINDS)
async def test_a_bug_is_internal_and_its_text_stays_inside(kind, spans):
    """An unexpected exception shows neither its text to the caller nor to the trace."""
    async with echo(lambda context: fails(ValueError("a secret"))) as (channel, _):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, kind)
        span = await server_span(spans)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(caught.value) + span.to_json()
    assert span.status.status_code is StatusCode.ERROR


async def test_a_caller_s_mistake_is_no_server_error(spans):
    """INVALID_ARGUMENT is on the span, whose status stays unset, as the semantic conventions have it."""
    async with echo(lambda context: fails(errors.InvalidArgument.field("x", "no"))) as (channel, _):
        with pytest.raises(grpc.aio.AioRpcError):
            await call(channel, "unary_unary")
        span = await server_span(spans)
    assert span.attributes["error.type"] == "INVALID_ARGUMENT"
    assert span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("kind", KINDS)
async def test_cancelling_reaches_the_handler(kind, spans):
    """A caller that gives up cancels the handler, and the span ends as CANCELLED."""

    async def forever(context):
        entered.set()
        await asyncio.Event().wait()

    entered = asyncio.Event()
    async with echo(forever) as (channel, implementation):
        task = asyncio.create_task(call(channel, kind))
        await asyncio.wait_for(entered.wait(), 5)
        task.cancel()
        await asyncio.wait_for(implementation.cancelled.wait(), 5)
        span = await server_span(spans)
    assert span.attributes["rpc.response.status_code"] == "CANCELLED"


@pytest.mark.parametrize("kind", KINDS)
async def test_the_caller_s_deadline_stops_the_handler(kind, spans):
    """When the caller's time is over the handler is cancelled, and caller and span are told DEADLINE_EXCEEDED."""

    async def forever(context):
        await asyncio.Event().wait()

    async with echo(forever) as (channel, implementation):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, kind, timeout=0.2)
        await asyncio.wait_for(implementation.cancelled.wait(), 5)
        span = await server_span(spans)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert span.attributes["rpc.response.status_code"] == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_handler_that_stops_too_late_ends_with_the_deadline(kind, spans):
    """When the deadline passed before the caller could be told, that is what the span says."""

    async def stubborn(context):
        try:
            await asyncio.Event().wait()
        finally:
            time.sleep(max(0.0, context.time_remaining()) + 0.05)  # noqa: ASYNC251 - nothing else can happen meanwhile

    async with echo(stubborn) as (channel, _):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, kind, timeout=0.2)
        span = await server_span(spans)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert span.attributes["rpc.response.status_code"] == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_without_a_deadline_gets_one(kind):
    """A caller that set no deadline is answered DEADLINE_EXCEEDED; who sends a stream after the longest time."""
    sends_stream = kind.startswith("stream")
    limits = {
        "default_deadline_seconds": 30 if sends_stream else 0.2,
        "longest_call_seconds": 0.2 if sends_stream else 30,
    }

    async def forever(context):
        await asyncio.Event().wait()

    async with echo(forever, **limits) as (channel, implementation):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, kind, timeout=None)
        assert implementation.cancelled.is_set()
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("stream")])
async def test_a_sender_that_falls_silent_is_given_up(kind):
    """Whoever sends nothing for too long is told so, with a reason of its own."""
    async with echo(nothing, stream_idle_seconds=0.1) as (channel, _):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, kind, timeout=20, then_silent=True)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "nothing came for 0.1 seconds" in caught.value.details()


async def test_leaving_a_stream_early_closes_its_span(spans):
    """A caller that reads one answer of a stream and leaves ends the handler and its span."""

    async def forever(context):
        await asyncio.Event().wait()

    async with echo(forever) as (channel, implementation):
        running = channel.unary_stream(f"/{SERVICE}/unary_stream")(b"request")
        assert await running.read() == b"first"
        running.cancel()
        await asyncio.wait_for(implementation.cancelled.wait(), 5)
        span = await server_span(spans)
    assert span.attributes["rpc.response.status_code"] == "CANCELLED"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_is_one_line_in_the_log(kind):
    """Sizes and times, the messages of a stream, and for what was waited; whatever the kind."""

    async def act(_):
        with stage(Stage.CALL):
            await asyncio.sleep(0.001)

    with capture_logs() as lines:
        async with echo(act) as (channel, _):
            answers = await call(channel, kind)
    (line,) = [line for line in lines if line["event"] == "call"]
    assert line.pop("milliseconds") >= line.pop("stages")["call"] > 0
    messages = {} if kind == "unary_unary" else {"messages_in": 1, "messages_out": len(answers)}
    assert line == {
        "event": "call",
        "log_level": "info",
        "method": f"{SERVICE}/{kind}",
        "code": "OK",
        "bytes_in": len(b"request"),
        "bytes_out": sum(map(len, answers)),
        **messages,
    }


class Reads:
    """A method of each kind that reads a message with a text in it."""

    async def unary(self, request, context):
        return request.service.encode()

    async def read(self, requests, context):
        return b"".join([request.service.encode() async for request in requests])

    async def stream(self, request, context):
        yield request.service.encode()

    async def both(self, requests, context):
        async for request in requests:
            yield request.service.encode()

    def add(self, implementation, server):
        kinds = zip(KINDS, (self.unary, self.stream, self.read, self.both), strict=True)
        handlers = {
            kind: getattr(grpc, f"{kind}_rpc_method_handler")(method, HealthCheckRequest.FromString)
            for kind, method in kinds
        }
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_request_that_is_no_message_is_the_caller_s_mistake(kind):
    """A text that is not UTF-8 is INVALID_ARGUMENT with ErrorInfo, whatever the kind; a right one is read."""

    async def ask(channel, content):
        async def requests():
            yield content

        running = getattr(channel, kind)(f"/{SERVICE}/{kind}")(
            requests() if kind.startswith("stream") else content, timeout=5
        )
        return await running if kind.endswith("unary") else b"".join([answer async for answer in running])

    async with serve(Servicer(SERVICE, Reads().add, object())) as channel:
        assert await ask(channel, HealthCheckRequest(service="hello").SerializeToString()) == b"hello"
        code, info, _, _ = await failure(ask(channel, b"\x0a\x02\xff\xfe"))
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")


@pytest.mark.parametrize("kind", KINDS)
async def test_the_caller_s_priority_goes_with_the_call(kind):
    """A call that was made with low priority is handled as one, the next without it is not."""
    seen = []

    async def act(_):
        seen.append(is_low_priority())

    async with echo(act) as (channel, _):
        with low_priority():
            await call(channel, kind, metadata=trace_metadata())
        await call(channel, kind, metadata=trace_metadata())
    assert seen == [True, False]
