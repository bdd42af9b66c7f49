"""Calls of a graph whose requests or answers are a stream, over real sockets, of all four kinds."""

import asyncio
from contextlib import aclosing

import grpc
import pytest
from google.protobuf.wrappers_pb2 import BytesValue
from opentelemetry import trace

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.server import Servicer
from services.mesh.testing import serve
from services.router.methods import Method
from services.router.pipelines.graph import Call, Limit
from services.router.pipelines.plan import Run
from services.router.stream_caller import GrpcStreamCaller
from services.router.upstreams import Upstream

SERVICE = "maas.test.v1.TestService"
KINDS = {"Unary": (False, False), "Gather": (True, False), "Cut": (False, True), "Echo": (True, True)}


class Service:
    """Answers bytes by bytes; b"fail" fails, b"end" ends the answers, b"silent" is never answered."""

    def __init__(self):
        self.received = []
        # Of the last call. It is read while that runs: what gRPC gives points into memory that it frees afterwards.
        self.metadata = None
        self.running = 0

    async def Unary(self, request, context):
        return await self.Gather(messages([request.value]), context)

    async def Gather(self, requests, context):
        return BytesValue(value=b"".join([answer.value async for answer in self.Echo(requests, context)]))

    async def Cut(self, request, context):
        async for answer in self.Echo(messages(request.value.split()), context):
            yield answer

    async def Echo(self, requests, context):
        self.metadata, self.running = dict(context.invocation_metadata()), self.running + 1
        try:
            async for request in requests:
                self.received.append(request.value)
                if request.value == b"fail":
                    raise errors.Exhausted("is full", reason="STREAMS_FULL", retry_after_seconds=2)
                if request.value == b"end":
                    return
                if request.value == b"silent":
                    await asyncio.Event().wait()
                yield request
        finally:
            self.running -= 1


async def ended(service):
    """Every call that the service took is over."""
    async with asyncio.timeout(20):
        while service.running or service.metadata is None:
            await asyncio.sleep(0.01)


def add(service, server):
    """Put the service into a server, as generated code would."""
    makers = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    handlers = {
        name: makers[kind](getattr(service, name), BytesValue.FromString, BytesValue.SerializeToString)
        for name, kind in KINDS.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))


@pytest.fixture
def service():
    return Service()


@pytest.fixture
async def channel(service):
    async with asyncio.timeout(30), serve(Servicer(SERVICE, add, service)) as channel:
        yield channel


def caller_of(channel, name, **policies):
    types = BytesValue.DESCRIPTOR
    method = Method(f"{SERVICE}/{name}", SERVICE, types, types, *KINDS[name])
    return GrpcStreamCaller("g", Call(node="hear", call=method.name, **policies), method, Upstream(SERVICE, channel))


def opened(channel, name, requests, seconds=20.0):
    """The answers of a method. requests: bytes, or an iterator of messages."""
    if isinstance(requests, list):
        requests = messages(requests)
    return caller_of(channel, name).open(requests, Deadline.after(seconds), Run("g"))


async def messages(contents):
    for each in contents:
        yield BytesValue(value=each)


async def drain(answers):
    return [answer.value async for answer in answers]


@pytest.mark.parametrize(
    ("name", "requests", "answers"),
    [
        ("Unary", [b"a"], [b"a"]),
        ("Gather", [b"a", b"b", b"c"], [b"abc"]),
        ("Gather", [], [b""]),
        ("Cut", [b"a b c"], [b"a", b"b", b"c"]),
        ("Echo", [b"a", b"b", b"c"], [b"a", b"b", b"c"]),
        ("Echo", [], []),
    ],
)
async def test_each_kind_of_method(channel, name, requests, answers):
    """Requests go out as the method takes them, and a unary answer is the only one."""
    assert await drain(opened(channel, name, requests)) == answers


@pytest.mark.parametrize("name", KINDS)
async def test_what_the_service_meant(channel, name):
    """Its error comes with all its details, whatever the kind."""
    with pytest.raises(errors.Exhausted, match="is full") as caught:
        await drain(opened(channel, name, [b"fail"]))
    assert (caught.value.reason, caught.value.retry_after_seconds) == ("STREAMS_FULL", 2)


async def test_an_error_while_requests_are_sent(channel):
    """The service's error is told, also when it comes while more is being written (grpc/grpc#36066)."""

    async def many():
        yield BytesValue(value=b"fail")
        for _ in range(200):
            yield BytesValue(value=bytes(200_000))

    for _ in range(20):
        with pytest.raises(errors.Exhausted, match="is full"):
            await drain(opened(channel, "Echo", many()))


async def test_requests_that_fail(channel, service):
    """What they raise is raised, and the service sees that the call is cancelled."""

    async def broken():
        yield BytesValue(value=b"a")
        raise errors.InvalidArgument("has no such field")

    for name in ("Echo", "Gather"):
        with pytest.raises(errors.InvalidArgument, match="no such field"):
            await drain(opened(channel, name, broken()))
    for name in ("Cut", "Unary"):
        with pytest.raises(errors.InvalidArgument, match="no such field"):
            await drain(opened(channel, name, failing_at_once()))
    await ended(service)


async def failing_at_once():
    raise errors.InvalidArgument("has no such field")
    yield


async def test_closing_ends_the_call(channel, service):
    """The service is cancelled, and nobody waits for the next request any more."""

    async def silent():
        yield BytesValue(value=b"a")
        await asyncio.Event().wait()

    requests = silent()
    answers = opened(channel, "Echo", requests)
    assert (await anext(answers)).value == b"a"
    await answers.aclose()
    await requests.aclose()  # It would refuse while somebody is in there.
    await ended(service)


@pytest.mark.parametrize("name", KINDS)
async def test_cancelling_ends_the_call(channel, service, name):
    """So does cancelling who waits for an answer."""
    waiting = asyncio.create_task(drain(opened(channel, name, [b"silent"])))
    while not service.running:
        await asyncio.sleep(0.005)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await ended(service)


@pytest.mark.parametrize("name", KINDS)
async def test_the_deadline(channel, service, name):
    """The call gets the time that remains, and ends with it; none begins without any."""
    with pytest.raises(errors.DeadlineExceeded):
        await drain(opened(channel, name, [b"silent"], seconds=0.3))
    service.metadata = None
    with pytest.raises(errors.DeadlineExceeded):
        await drain(opened(channel, name, [b"a"], seconds=0))
    assert service.metadata is None


async def test_a_service_that_ends_first(channel):
    """Its answers end, and no more requests are taken."""
    taken = 0

    async def endless():
        nonlocal taken
        yield BytesValue(value=b"a")
        yield BytesValue(value=b"end")
        while True:
            taken += 1
            yield BytesValue(value=b"more")
            await asyncio.sleep(0.001)

    requests = endless()
    assert await drain(opened(channel, "Echo", requests)) == [b"a"]
    await requests.aclose()


@pytest.mark.usefixtures("small_windows")
async def test_answers_that_nobody_takes(channel, service):
    """They hold back the service, and that the requests."""
    sent = 0

    async def many():
        nonlocal sent
        for _ in range(400):
            sent += 1
            yield BytesValue(value=bytes(100_000))

    async with aclosing(opened(channel, "Echo", many())) as answers:
        await anext(answers)
        seen = -1
        while seen < sent:
            seen = sent
            await asyncio.sleep(0.2)
        assert sent < 300
        assert len([answer async for answer in answers]) == 399


async def test_the_trace_goes_on(channel, service):
    """The service gets the context of a span in the trace of the node that is current."""
    with trace.use_span(trace.NonRecordingSpan(trace.SpanContext(0xABC, 1, is_remote=False))):
        await drain(opened(channel, "Echo", [b"a"]))
    assert service.metadata["traceparent"].split("-")[1] == f"{0xABC:032x}"


async def test_calls_beyond_those_a_node_may_have(channel, service):
    """They are RESOURCE_EXHAUSTED as long as the others are open."""
    caller = caller_of(channel, "Echo", limit=Limit(at_once=1))

    def begin(*requests):
        return caller.open(messages(requests), Deadline.after(20), Run("g"))

    first = begin(b"a", b"b")
    await anext(first)
    with pytest.raises(errors.Exhausted):
        await anext(begin(b"a"))
    await first.aclose()
    assert await drain(begin(b"c")) == [b"c"]


async def test_a_service_that_is_not_there(service):
    """UNAVAILABLE, naming the service."""
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        for name in KINDS:
            with pytest.raises(errors.Unavailable, match=r"TestService is not reachable"):
                await drain(opened(channel, name, [b"a"]))
