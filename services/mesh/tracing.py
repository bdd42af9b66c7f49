"""A server span for each call, and a clock that knows where its time goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind, StatusCode

from services.client.server_timing import REQUEST_KEY
from services.mesh import tenant, timing
from services.mesh.answer_stream import AnswerStream
from services.mesh.call import Call
from services.mesh.context import inside
from services.mesh.instruments import METHOD, STAGE, STAGE_DURATION
from services.mesh.interceptors import Around, outcome
from services.mesh.pieces import Pieces, counted

_tracer = trace.get_tracer("maas.server")


def tracing(first: int, every: int, most: int) -> Around:
    """A server span that continues the caller's trace, with the caller's baggage around the handler.

    first, every, most: which of the things that a call does many times over have spans (services.mesh.pieces).
    """

    @asynccontextmanager
    async def around(call: Call) -> AsyncIterator[None]:
        parent = propagate.extract({str(key): value for key, value in call.received})
        pieces = Pieces(first, every, most)
        with (
            inside(parent),
            counted(pieces),
            _tracer.start_as_current_span(
                call.method,
                kind=SpanKind.SERVER,
                attributes={"rpc.system.name": "grpc", "rpc.method": call.method},
                record_exception=False,
                set_status_on_exception=False,
            ) as span,
        ):
            stream = AnswerStream(span) if call.gets_stream and span.is_recording() else None
            call.watch = stream
            failure: BaseException | None = None
            try:
                yield
            except BaseException as error:
                failure = error
                raise
            finally:
                if span.is_recording():
                    if stream is not None:
                        stream.end()
                    _end(span, call, outcome(call.context, failure))
                    if pieces.seen > pieces.recorded:
                        span.set_attribute("maas.spans_left_out", pieces.seen - pieces.recorded)

    return around


def _end(span: trace.Span, call: Call, code: grpc.StatusCode) -> None:
    span.set_attribute("rpc.response.status_code", code.name)
    if code is not grpc.StatusCode.OK:
        span.set_attribute("error.type", code.name)
    if call.reason:
        span.set_attribute("maas.error.reason", call.reason)
    # A caller's mistake is not the server's error (semantic conventions for gRPC servers).
    if code in _SERVER_FAULTS:
        span.set_status(StatusCode.ERROR, code.name)
    if call.sends_stream:
        span.set_attribute("maas.stream.requests", call.messages_in)
    if call.gets_stream:
        span.set_attribute("maas.stream.responses", call.messages_out)


_SERVER_FAULTS = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
}


@asynccontextmanager
async def timed(call: Call) -> AsyncIterator[None]:
    """The stages of a call as a metric, and in its answer for who asks; its own calls are in its tenant's name."""
    asked = any(key == REQUEST_KEY and value != "0" for key, value in call.received)
    with tenant.acting_for(call.received), timing.clock(asked=asked) as clock:
        try:
            yield
            if told := timing.answer():
                call.context.set_trailing_metadata(told)
                # Where the answer is JSON, what comes after it is lost.
                if not call.gets_stream:
                    await call.context.send_initial_metadata(told)
        finally:
            for name, seconds in clock.stages().items():
                STAGE_DURATION.record(seconds, {METHOD: call.method, STAGE: name})
