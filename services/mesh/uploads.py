"""Calls whose requests are a file or a sound in chunks: the configuration first, then the bytes as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from grpc.aio import AioRpcError, Metadata

from services.mesh.client import client_span, trace_metadata
from services.mesh.status import from_rpc_error

if TYPE_CHECKING:
    from grpc.aio import Call, StreamStreamMultiCallable

    from services.mesh.deadline import Deadline

Request = TypeVar("Request")
Response = TypeVar("Response")
Value = TypeVar("Value")


async def upload(
    rpc: StreamStreamMultiCallable[Request, Response],
    config: Request,
    chunks: AsyncIterator[bytes],
    request_of: Callable[[bytes], Request],
    *,
    method: str,
    deadline: Deadline,
) -> AsyncGenerator[Response, None]:
    """The responses to a configuration and the chunks after it.

    config: the first request. request_of: makes one of a chunk. method: its full name, "package.Service/Method".
    Raises what the service meant, and what the chunks raise. Closing the generator ends the call at once.
    """
    timeout = deadline.require_seconds()
    sent = _Sent(config, chunks, request_of)
    # Not the current span: between two responses the caller's code runs, whose spans are no part of this call.
    with client_span(method, current=False) as span:
        call = rpc(sent.requests(), timeout=timeout, metadata=trace_metadata(span))
        sent.cancel = call.cancel
        ending = _Ending(call)
        try:
            async for response in call:
                yield response
        except (AioRpcError, asyncio.CancelledError) as error:
            if sent.failure is not None:
                raise sent.failure from None
            if isinstance(error, AioRpcError):
                raise from_rpc_error(ending.meant(error), method.partition("/")[0]) from None
            raise
        finally:
            # Leaving the loop does not do it, nor does the end of the task that reads.
            call.cancel()
            await sent.close()


class _Sent(Generic[Request]):
    """What is sent.

    cancel: ends the call. failure: what the caller's own chunks raised, for which gRPC has no words.
    """

    def __init__(self, config: Request, chunks: AsyncIterator[bytes], request_of: Callable[[bytes], Request]) -> None:
        self._config = config
        self._chunks = chunks
        self._request_of = request_of
        self._next: asyncio.Future[bytes | None] | None = None
        self._closed = False
        self.failure: Exception | None = None
        self.cancel: Callable[[], object] = lambda: None

    async def requests(self) -> AsyncIterator[Request]:
        """The messages of the call. It is gRPC that reads them, when the service has taken those before."""
        yield self._config
        try:
            while not self._closed:
                self._next = asyncio.ensure_future(anext(self._chunks, None))
                await asyncio.wait({self._next})
                chunk = None if self._next.cancelled() else self._next.result()
                if chunk is None:
                    return
                yield self._request_of(chunk)
        except Exception as error:  # noqa: BLE001 - raised again where the responses are taken
            self.failure = error
            self.cancel()

    async def close(self) -> None:
        """Read no further: gRPC itself would wait for the next chunk of a call that has ended."""
        self._closed = True
        if self._next is not None:
            self._next.cancel()
            await asyncio.wait({self._next})


class _Ending:
    """How a call ended.

    When the service ends a call that is being written to, the write fails afterwards, and gRPC then overwrites the
    status that came by INTERNAL (grpc/grpc#36066). So the first one counts.
    """

    def __init__(self, call: Call) -> None:
        self._error: AioRpcError | None = None
        call.add_done_callback(self._ended)

    def meant(self, error: AioRpcError) -> AioRpcError:
        """The error that the service meant by one that was raised."""
        return self._error or error

    def _ended(self, call: Call) -> None:
        if self._error is None:
            code, details, trailing = (
                _at_once(call.code()),
                _at_once(call.details()),
                _at_once(call.trailing_metadata()),
            )
            self._error = AioRpcError(code, Metadata(), trailing, details)


def _at_once(coroutine: Coroutine[Any, Any, Value]) -> Value:
    """What a coroutine gives that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return cast("Value", done.value)
    raise RuntimeError("the status of a call that has ended must be there")
