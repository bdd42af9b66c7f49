"""How spans of calls that fail end, on both sides, over real sockets."""

import asyncio
from contextlib import aclosing

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from services.client.server_timing import read
from services.mesh import errors
from services.mesh.channel import open_channel
from services.mesh.client import call, client_span, trace_metadata
from services.mesh.deadline import Deadline
from services.mesh.exchange import exchange
from tests.integration.test_interceptors import SERVICE, echo, fails, nothing

UNARY, STREAM = f"{SERVICE}/unary_unary", f"{SERVICE}/unary_stream"
UNSET, ERROR = StatusCode.UNSET, StatusCode.ERROR


async def forever(context):
    await asyncio.Event().wait()


# What the handler does -> code, reason, status of the server's span, on which a caller's mistake is no error.
FAILURES = {
    "invalid": (
        lambda context: fails(errors.InvalidArgument.field("x", "a secret rule")),
        ("INVALID_ARGUMENT", "INVALID_ARGUMENT", UNSET),
    ),
    "absent": (
        lambda context: fails(errors.NotFound("there is no secret", reason="MODEL_NOT_FOUND")),
        ("NOT_FOUND", "MODEL_NOT_FOUND", UNSET),
    ),
    "full": (lambda context: fails(errors.Exhausted("a secret")), ("RESOURCE_EXHAUSTED", "QUEUE_FULL", UNSET)),
    "loading": (
        lambda context: fails(errors.Unavailable("a secret", reason="MODEL_LOADING")),
        ("UNAVAILABLE", "MODEL_LOADING", ERROR),
    ),
    "bug": (lambda context: fails(ValueError("a secret")), ("INTERNAL", "INTERNAL", ERROR)),
    "late": (forever, ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", ERROR)),
}


async def ended(spans):
    """The client's span and the server's, once both have ended; a list of them each."""
    async with asyncio.timeout(5):
        while True:
            found = spans.get_finished_spans()
            clients = [span for span in found if span.kind is SpanKind.CLIENT]
            servers = [span for span in found if span.kind is SpanKind.SERVER]
            if clients and servers:
                return clients[0], servers[0]
            await asyncio.sleep(0.01)


async def asked(channel, seconds=5.0):
    """A unary call as services make it."""
    return await call(channel.unary_unary(f"/{UNARY}"), b"request", method=UNARY, deadline=Deadline.after(seconds))


async def streamed(channel, seconds=5.0, *, most=99):
    """A call that is answered by a stream, of which so many answers are taken."""

    async def requests():
        yield b"request"

    answers = exchange(channel.unary_stream(f"/{STREAM}"), requests(), method=STREAM, deadline=Deadline.after(seconds))
    taken = []
    async with aclosing(answers):
        async for answer in answers:
            taken.append(answer)
            if len(taken) == most:
                break
    return taken


def told(span):
    return span.attributes["rpc.response.status_code"], span.attributes["error.type"], span.status.status_code


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("make", [asked, streamed])
async def test_a_failed_call(spans, make, kind):
    """Both sides have the code and the reason, and neither has the text; the client's span is an error in any case."""
    act, (code, reason, server_status) = FAILURES[kind]
    async with echo(act) as (channel, _):
        with pytest.raises(errors.MeshError):
            await make(channel, 0.3 if kind == "late" else 5.0)
        client, server = await ended(spans)
    assert told(client) == (code, code, ERROR)
    assert told(server) == (code, code, server_status)
    assert client.attributes["maas.error.reason"] == server.attributes["maas.error.reason"] == reason
    assert "secret" not in client.to_json() + server.to_json()
    assert server.parent.span_id == client.context.span_id


@pytest.mark.parametrize("make", [asked, streamed])
async def test_a_call_that_is_given_up(spans, make):
    """CANCELLED on both sides; nobody's fault on the server's."""
    async with echo(forever) as (channel, implementation):
        task = asyncio.create_task(make(channel))
        # The server has it when its handler has begun.
        async with asyncio.timeout(5):
            while not task.done() and not implementation.entered.is_set():
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait({task})
        client, server = await ended(spans)
    assert told(client) == ("CANCELLED", "CANCELLED", ERROR)
    assert told(server) == ("CANCELLED", "CANCELLED", UNSET)
    assert "maas.error.reason" not in {**client.attributes, **server.attributes}


async def test_a_stream_that_is_left_early(spans):
    """Whoever takes one answer and leaves has CANCELLED the call, which both sides say."""
    async with echo(forever) as (channel, _):
        assert await streamed(channel, most=1) == [b"first"]
        client, server = await ended(spans)
    assert told(client) == ("CANCELLED", "CANCELLED", ERROR)
    assert told(server) == ("CANCELLED", "CANCELLED", UNSET)


async def test_a_stream_that_is_read_to_its_end(spans):
    """It is OK on both sides."""
    async with echo(nothing) as (channel, _):
        assert await streamed(channel) == [b"first", b"ok"]
        client, server = await ended(spans)
    for span in (client, server):
        assert span.attributes["rpc.response.status_code"] == "OK"
        assert "error.type" not in span.attributes
        assert span.status.status_code is UNSET


@pytest.mark.parametrize("make", [asked, streamed])
async def test_nobody_answers(spans, make):
    """A backend that is down is UNAVAILABLE on the client's span, the only one, without its address."""
    async with open_channel("127.0.0.1:1", service="", max_message_bytes=1000, retries=False) as channel:
        with pytest.raises(errors.Unavailable):
            await make(channel)
    (client,) = spans.get_finished_spans()
    assert told(client) == ("UNAVAILABLE", "UNAVAILABLE", ERROR)
    assert "127.0.0.1" not in client.to_json()


async def test_an_answer_that_nobody_can_read(spans):
    """A fault of our own in what was made of the answer marks the client's span with the kind of the fault."""
    with pytest.raises(LookupError), client_span(UNARY):
        raise LookupError("a secret")
    (client,) = spans.get_finished_spans()
    assert told(client) == ("UNKNOWN", "LookupError", ERROR)
    assert "secret" not in client.to_json()


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream"])
async def test_a_call_whose_caller_records_nothing(spans, kind):
    """A trace context that is not sampled is respected here and in the calls that are made; times are told anyway."""
    passed_on = []

    async def act(_):
        with client_span(UNARY):
            passed_on.extend(trace_metadata())

    async with echo(act) as (channel, _):
        running = getattr(channel, kind)(f"/{SERVICE}/{kind}")(
            b"request", metadata=[("traceparent", f"00-{'a' * 32}-{'b' * 16}-00"), ("maas-timing", "1")]
        )
        assert [await running] if kind == "unary_unary" else [answer async for answer in running]
        assert "total" in {each.name for each in read(await running.trailing_metadata())}
    assert spans.get_finished_spans() == ()
    assert [value[:35] + value[-3:] for _, value in passed_on] == [f"00-{'a' * 32}-00"]
