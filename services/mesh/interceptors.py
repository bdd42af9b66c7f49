"""What happens around every handler of ours, for all four kinds of RPC: tracing, errors to statuses, and more.

Each is an async context manager around one call; health and reflection pass through untouched.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from functools import reduce
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError
from grpc.aio import AbortError, InternalError, UsageError
from grpc_status import rpc_status

from services.mesh import errors, timing
from services.mesh.call import Call, Context, begin
from services.mesh.draining import Draining
from services.mesh.instruments import DIRECTION, METHOD, STREAM_MESSAGES
from services.mesh.status import to_status

log = structlog.get_logger()

# So long before its deadline a call is told that it failed.
_ANSWER_SECONDS = 0.05

Around = Callable[[Call], AbstractAsyncContextManager[None]]


class Interceptor(grpc.aio.ServerInterceptor):
    """Puts context managers around each handler of the mesh's own services."""

    def __init__(self, arounds: Sequence[Around], idle_seconds: float) -> None:
        """arounds: outermost first; entered before the handler and left with its exception, if any.

        idle_seconds: a handler that waits for so long for the next message of a stream gets DeadlineExceeded.
        """
        self._around = reduce(_inside, arounds)
        self._idle_seconds = idle_seconds
        # gRPC asks for the handler at every call; wrapping it once saves a tenth of a small call's time.
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wrap the handler, whatever its kind."""
        name = handler_call_details.method
        if name in self._wrapped:
            return self._wrapped[name]
        handler = await continuation(handler_call_details)
        method = name.lstrip("/")
        # What no service has is not remembered, so that callers cannot make this grow.
        if handler is not None and method.startswith("maas."):
            handler = self._wrapped[name] = _wrap(handler, method, self._around, self._idle_seconds)
        return handler


def _inside(outer: Around, inner: Around) -> Around:
    @asynccontextmanager
    async def around(call: Call) -> AsyncIterator[None]:
        async with outer(call), inner(call):
            yield

    return around


def _wrap(handler: Any, method: str, around: Around, idle_seconds: float) -> grpc.RpcMethodHandler[Any, Any]:
    inner = handler.unary_unary or handler.stream_unary or handler.unary_stream or handler.stream_stream
    # Requests are read in here, since gRPC itself answers unreadable ones with a bare UNKNOWN; answers are written in
    # here, so that their sizes are known, and the time that it takes is the call's.
    read = _reader(handler, method, idle_seconds)
    write = _writer(handler, method)

    async def unary(request: Any, context: Context) -> bytes:
        call = Call(method, context, handler.request_streaming, gets_stream=False)
        begin(call)
        async with around(call):
            return write(await inner(read(request, call), context), call)

    # It writes its answers itself. As a generator it would be left while an answer waits to be sent, and ended later by
    # the event loop, in another context than the one that it began in.
    async def stream(request: Any, context: Context) -> None:
        call = Call(method, context, handler.request_streaming, gets_stream=True)
        begin(call)
        async with around(call), aclosing(inner(read(request, call), context)) as responses:
            async for response in responses:
                content = write(response, call)
                try:
                    await context.write(content)
                except (InternalError, UsageError):
                    # The call is over, and its client has gone.
                    raise asyncio.CancelledError from None

    kinds = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    return kinds[handler.request_streaming, handler.response_streaming](stream if handler.response_streaming else unary)


def _writer(handler: Any, method: str) -> Callable[[Any, Call], bytes]:
    """What makes of a handler's answer, or of each in its stream, what gRPC sends."""
    serialize = handler.response_serializer or bytes
    counted = {METHOD: method, DIRECTION: "out"} if handler.request_streaming or handler.response_streaming else None

    def write(response: Any, call: Call) -> bytes:
        with timing.stage(timing.Stage.ENCODE):
            content: bytes = serialize(response)
        if call.watch is not None:
            call.watch()
        call.messages_out += 1
        call.bytes_out += len(content)
        if counted:
            STREAM_MESSAGES.add(1, counted)
        return content

    return write


def _reader(handler: Any, method: str, idle_seconds: float) -> Callable[[Any, Call], Any]:
    """What makes the handler's request, or stream of requests, of what gRPC received."""
    deserialize = handler.request_deserializer or bytes
    counted = {METHOD: method, DIRECTION: "in"} if handler.request_streaming or handler.response_streaming else None

    def one(content: bytes, call: Call) -> object:
        call.messages_in += 1
        call.bytes_in += len(content)
        if counted:
            STREAM_MESSAGES.add(1, counted)
        try:
            return deserialize(content)
        except DecodeError:
            raise errors.InvalidArgument(
                "the request cannot be read: it is no message of this type, or a text in it is not UTF-8"
            ) from None

    async def every(contents: AsyncIterator[bytes], call: Call) -> AsyncIterator[object]:
        source = aiter(contents)
        while True:
            silence = asyncio.timeout(idle_seconds)
            try:
                with timing.stage(timing.Stage.RECEIVE):
                    async with silence:
                        content = await anext(source)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if not silence.expired():
                    raise
                raise errors.DeadlineExceeded(
                    f"nothing came for {idle_seconds:g} seconds: the stream is given up", reason="STREAM_IDLE"
                ) from None
            yield one(content, call)

    return every if handler.request_streaming else one


def errors_to_status(default_deadline_seconds: float, longest_call_seconds: float, draining: Draining) -> Around:
    """Domain errors become statuses with details; anything else INTERNAL, logged here and not shown to the caller.

    A call whose client set no deadline gets the default one, or the longest when its client sends a stream; none may
    take longer. The handler is stopped a little before the deadline, since at the deadline itself gRPC answers
    with a bare status; draining does the same before the server's own end.
    """

    @asynccontextmanager
    async def around(call: Call) -> AsyncIterator[None]:
        remaining = call.context.time_remaining()
        default = longest_call_seconds if call.sends_stream else default_deadline_seconds
        seconds = default if remaining is None else min(max(0.0, remaining), longest_call_seconds)
        try:
            async with draining.limited(seconds - min(_ANSWER_SECONDS, seconds / 20)):
                yield
        except errors.MeshError as error:
            await _abort(call, error)
        except TimeoutError:
            await _abort(call, errors.DeadlineExceeded("the deadline passed before the answer was ready"))
        except (AbortError, asyncio.CancelledError, GeneratorExit):
            raise
        except Exception:
            log.exception("a handler failed", method=call.method)
            bug = errors.Internal("an internal error; the server's log has it under this call's trace id")
            await _abort(call, bug)

    return around


async def _abort(call: Call, error: errors.MeshError) -> None:
    """End the call with an error, and with its times for who asked for them."""
    call.reason = error.reason
    status = rpc_status.to_status(to_status(error))
    try:
        await call.context.abort(status.code, status.details, (*status.trailing_metadata, *timing.answer()))
    except (InternalError, UsageError):
        # The call was over already: its deadline passed meanwhile, or its client went away.
        raise asyncio.CancelledError from None


def outcome(context: Context, failure: BaseException | None) -> grpc.StatusCode:
    """The status that a call ends with, seen from around its handler."""
    if isinstance(failure, AbortError):
        code = context.code()
        return next(each for each in grpc.StatusCode if code in (each, each.value[0]))
    if isinstance(failure, asyncio.CancelledError | GeneratorExit):
        remaining = context.time_remaining()
        late = remaining is not None and remaining <= 0
        return grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
    return grpc.StatusCode.OK if failure is None else grpc.StatusCode.UNKNOWN
