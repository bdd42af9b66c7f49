"""Calls from one service to another, over real sockets."""

import asyncio

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from maas.nlp.v1 import nlp_pb2 as pb
from maas.nlp.v1 import nlp_pb2_grpc
from services.mesh import errors
from services.mesh.channel import open_channel
from services.mesh.client import call
from services.mesh.deadline import Deadline
from services.mesh.server import Servicer, serving
from services.mesh.settings import ServiceSettings

NLP = "maas.nlp.v1.NlpService"
METHOD = f"{NLP}/GetNlpConfig"
SETTINGS = ServiceSettings(listen_address="127.0.0.1:0", metrics_address="127.0.0.1:0", drain_seconds=1)


class Nlp(nlp_pb2_grpc.NlpServiceServicer):
    """Raises what it is given, one call after the other, then answers; counts its calls."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.calls = 0
        self.ready = True

    async def GetNlpConfig(self, request, context):
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return pb.GetNlpConfigResponse()

    def servicer(self):
        return Servicer(NLP, nlp_pb2_grpc.add_NlpServiceServicer_to_server, self, lambda: self.ready)


def ask(channel, seconds=5):
    stub = nlp_pb2_grpc.NlpServiceStub(channel)
    return call(stub.GetNlpConfig, pb.GetNlpConfigRequest(), method=METHOD, deadline=Deadline.after(seconds))


def channel_to(*ports):
    addresses = ",".join(f"127.0.0.1:{port}" for port in ports)
    return open_channel(f"ipv4:{addresses}", service=NLP, max_message_bytes=1_000_000)


async def test_an_unavailable_service_is_tried_again():
    """UNAVAILABLE is retried, and the caller sees the answer alone."""
    nlp = Nlp(errors.Unavailable("busy"), errors.Unavailable("busy"))
    async with serving([nlp.servicer()], SETTINGS) as port, channel_to(port) as channel:
        assert await ask(channel) == pb.GetNlpConfigResponse()
    assert nlp.calls == 3


async def test_no_more_than_three_attempts():
    """A service that stays unavailable is asked three times, then the caller gets its error."""
    nlp = Nlp(*[errors.Unavailable("busy", reason="MODEL_LOADING") for _ in range(9)])
    async with serving([nlp.servicer()], SETTINGS) as port, channel_to(port) as channel:
        with pytest.raises(errors.Unavailable) as caught:
            await ask(channel)
    assert nlp.calls == 3
    assert caught.value.reason == "MODEL_LOADING"


async def test_what_is_to_be_asked_once():
    """A method of which a failure is to be told at once is not tried again."""
    nlp = Nlp(*[errors.Unavailable("busy") for _ in range(9)])
    async with (
        serving([nlp.servicer()], SETTINGS) as port,
        open_channel(
            f"ipv4:127.0.0.1:{port}", service=NLP, max_message_bytes=1_000_000, asked_once=["GetNlpConfig"]
        ) as channel,
    ):
        with pytest.raises(errors.Unavailable):
            await ask(channel)
    assert nlp.calls == 1


@pytest.mark.parametrize(
    "error", [errors.DeadlineExceeded("late"), errors.InvalidArgument("no"), errors.Exhausted("full")]
)
async def test_other_failures_are_not_tried_again(error):
    """Only UNAVAILABLE is safe to retry."""
    nlp = Nlp(error)
    async with serving([nlp.servicer()], SETTINGS) as port, channel_to(port) as channel:
        with pytest.raises(type(error)):
            await ask(channel)
    assert nlp.calls == 1


async def test_calls_go_to_healthy_backends_in_turn():
    """Calls are spread over the backends, and one that says it is not ready gets none."""
    one, two = Nlp(), Nlp()
    async with (
        serving([one.servicer()], SETTINGS) as first,
        serving([two.servicer()], SETTINGS) as second,
        channel_to(first, second) as channel,
    ):
        async with asyncio.timeout(10):
            while not (one.calls and two.calls):
                await ask(channel)
            two.ready = False
            while True:
                before = two.calls
                for _ in range(6):
                    await ask(channel)
                if two.calls == before:
                    break
    assert one.calls >= 6


async def test_a_service_that_is_down_is_unavailable():
    """Nobody listening is Unavailable within the deadline, without the address in its text."""
    async with channel_to(1) as channel:
        with pytest.raises(errors.Unavailable) as caught:
            await ask(channel)
    assert "127.0.0.1" not in caught.value.message
    assert caught.value.metadata == {"service": NLP}


async def test_no_call_without_time():
    """When the deadline has passed the service is not asked."""
    nlp = Nlp()
    async with serving([nlp.servicer()], SETTINGS) as port, channel_to(port) as channel:
        with pytest.raises(errors.DeadlineExceeded):
            await ask(channel, seconds=-1)
    assert nlp.calls == 0


async def test_caller_client_and_server_are_one_trace(spans):
    """The client's span is the child of the current span and the parent of the server's."""
    nlp = Nlp()
    async with serving([nlp.servicer()], SETTINGS) as port, channel_to(port) as channel:
        with trace.get_tracer("test").start_as_current_span("caller") as caller:
            await ask(channel)
    found = {span.kind: span for span in spans.get_finished_spans()}
    assert found[SpanKind.CLIENT].parent.span_id == caller.get_span_context().span_id
    assert found[SpanKind.SERVER].parent.span_id == found[SpanKind.CLIENT].context.span_id


async def test_a_failed_call_marks_its_span(spans):
    """The client's span has the status that the service sent."""
    nlp = Nlp(errors.NotFound("no"))
    async with serving([nlp.servicer()], SETTINGS) as port, channel_to(port) as channel:
        with pytest.raises(errors.NotFound):
            await ask(channel)
    client = next(span for span in spans.get_finished_spans() if span.kind is SpanKind.CLIENT)
    assert client.attributes["rpc.response.status_code"] == grpc.StatusCode.NOT_FOUND.name
    assert not client.status.is_ok
