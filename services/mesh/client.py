"""One way to call another service: a client span, the trace context, the time that remains, and errors in our words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, TypeVar

import grpc
import structlog
from grpc.aio import AioRpcError
from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind, StatusCode

from services.mesh import errors, tenant, timing
from services.mesh.instruments import CLIENT_DURATION, CODE, METHOD
from services.mesh.pieces import left_out
from services.mesh.status import code_of, from_rpc_error, reason_of

if TYPE_CHECKING:
    from grpc.aio import UnaryUnaryMultiCallable

    from services.mesh.deadline import Deadline

log = structlog.get_logger()

Request = TypeVar("Request")
Response = TypeVar("Response")

_tracer = trace.get_tracer("maas.client")


@contextmanager
def client_span(method: str, tracer: trace.Tracer = _tracer, *, current: bool = True) -> Iterator[trace.Span]:
    """A span and the duration of one outgoing call, with the status of the error that left the block, gRPC's or ours.

    Of a call that makes very many some are left out (services.mesh.pieces).

    method: "package.Service/Method". tracer: that of the process, unless the span is recorded elsewhere.
    current: whether it is the current span inside the block; in a generator it must not be, since the code that reads
    from it runs in the same context.
    """
    attributes = {"rpc.system.name": "grpc", "rpc.method": method}
    span = left_out() or tracer.start_span(method, kind=SpanKind.CLIENT, attributes=attributes)
    began = time.perf_counter()
    code, kind, reason = grpc.StatusCode.OK, "", ""
    try:
        with trace.use_span(span, record_exception=False, set_status_on_exception=False) if current else nullcontext():
            yield span
    except grpc.RpcError as error:
        code = error.code()
        reason = reason_of(error) if span.is_recording() else ""
        raise
    except errors.MeshError as error:
        code, reason = code_of(error), error.reason
        raise
    except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt):
        code = grpc.StatusCode.CANCELLED
        raise
    except Exception as error:
        # A fault of our own, in what was sent or in what was made of the answer.
        code, kind = grpc.StatusCode.UNKNOWN, type(error).__name__
        raise
    finally:
        seconds = time.perf_counter() - began
        CLIENT_DURATION.record(seconds, {METHOD: method, CODE: code.name})
        log.debug("called", method=method, code=code.name, milliseconds=round(seconds * 1000, 1))
        if span.is_recording():
            span.set_attribute("rpc.response.status_code", code.name)
            if code is not grpc.StatusCode.OK:
                span.set_attribute("error.type", kind or code.name)
                span.set_status(StatusCode.ERROR, kind or code.name)
            if reason:
                span.set_attribute("maas.error.reason", reason)
        span.end()


def trace_metadata(span: trace.Span | None = None) -> list[tuple[str, str]]:
    """The trace context of a span, by itself the current one, as gRPC metadata (W3C traceparent)."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier, trace.set_span_in_context(span) if span else None)
    return list(carrier.items())


def outgoing_metadata(span: trace.Span | None = None) -> list[tuple[str, str]]:
    """What goes with a call to another service: the trace context, whose call it is, and whether times are wanted."""
    return [*trace_metadata(span), *tenant.metadata(), *timing.asking()]


async def call(
    stub_method: UnaryUnaryMultiCallable[Request, Response], request: Request, *, method: str, deadline: Deadline
) -> Response:
    """Call a unary method of another service of the mesh.

    method: its full name, "package.Service/Method".
    Raises the error that the service meant (services.mesh.status), or DeadlineExceeded without calling when no time
    remains. Cancelling the task cancels the call.
    """
    timeout = deadline.require_seconds()
    try:
        with client_span(method):
            running = stub_method(request, timeout=timeout, metadata=outgoing_metadata())
            answer = await running
            if timing.asking():
                timing.told(await running.trailing_metadata())
            return answer
    except AioRpcError as error:
        raise from_rpc_error(error, method.partition("/")[0]) from None
