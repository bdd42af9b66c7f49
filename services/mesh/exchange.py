"""Calls whose requests or answers are a stream, of any of gRPC's kinds, as one asynchronous generator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any, TypeVar

import grpc.aio
from grpc.aio import AioRpcError

from services.client.ending import Ending
from services.mesh import timing
from services.mesh.client import client_span, outgoing_metadata
from services.mesh.status import from_rpc_error

if TYPE_CHECKING:
    from services.mesh.deadline import Deadline

    Rpc = (
        grpc.aio.StreamStreamMultiCallable["Request", "Response"]
        | grpc.aio.StreamUnaryMultiCallable["Request", "Response"]
        | grpc.aio.UnaryStreamMultiCallable["Request", "Response"]
        | grpc.aio.UnaryUnaryMultiCallable["Request", "Response"]
    )

Request = TypeVar("Request")
Response = TypeVar("Response")


async def exchange(
    rpc: Rpc[Request, Response], requests: AsyncIterator[Request], *, method: str, deadline: Deadline
) -> AsyncGenerator[Response, None]:
    """The responses to requests; a unary response is the only one, and of a unary request the first is taken.

    requests: each is taken when the service has taken those before, and none after the call has ended.
    method: its full name, "package.Service/Method".
    Raises what the service meant, and what the requests raise. Closing the generator ends the call at once.
    """
    timeout = deadline.require_seconds()
    sends_stream = isinstance(rpc, grpc.aio.StreamStreamMultiCallable | grpc.aio.StreamUnaryMultiCallable)
    gets_stream = isinstance(rpc, grpc.aio.StreamStreamMultiCallable | grpc.aio.UnaryStreamMultiCallable)
    first = [] if sends_stream else [await anext(requests)]
    begin: Any = rpc  # Its kind was told above.
    # Not the current span: between two responses the caller's code runs, whose spans are no part of this call.
    with client_span(method, current=False) as span:
        call = begin(*first, timeout=timeout, metadata=outgoing_metadata(span))
        ending = Ending(call)
        sending = _Sending(call, requests) if sends_stream else None
        try:
            if gets_stream:
                async for response in call:
                    yield response
            else:
                yield await call
            if timing.asking():
                timing.told(await call.trailing_metadata())
        except (AioRpcError, asyncio.CancelledError) as error:
            if sending is not None and sending.failure is not None:
                raise sending.failure from None
            if not isinstance(error, AioRpcError):
                raise
            if (meant := await ending.meant(error)) is not None:
                raise from_rpc_error(meant, method.partition("/")[0]) from None
        finally:
            # Leaving the loop does not do it, nor does the end of the task that reads.
            call.cancel()
            if sending is not None:
                await sending.stop()


class _Sending:
    """Sends the requests of a call. failure: what they themselves raised, for which gRPC has no words.

    gRPC would read them too, but go on waiting for the next when the call has ended.
    """

    def __init__(self, call: Any, requests: AsyncIterator[Any]) -> None:
        self.failure: Exception | None = None
        self._call = call
        self._requests = requests
        self._task = asyncio.create_task(self._send())

    async def stop(self) -> None:
        """Take no further request."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _send(self) -> None:
        try:
            async for request in self._requests:
                await self._call.write(request)
            await self._call.done_writing()
        except Exception as error:  # noqa: BLE001 - raised again where the responses are taken
            # When the call has ended, writing fails; why, is told there as well.
            if not self._call.done():
                self.failure = error
                self._call.cancel()
