"""What Triton answers to a call of a model that answers in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

import grpc
from grpc.aio import AioRpcError
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from services.mesh import errors
from services.mesh.triton.failure import to_error
from services.mesh.triton.replicas import Replicas

if TYPE_CHECKING:
    from services.mesh.deadline import Deadline

Metadata = Sequence[tuple[str, str]]

# A stream that says nothing for so long is asked after.
_SILENCE_SECONDS = 1.0
_ASK_SECONDS = 5.0


async def responses(
    replicas: Replicas, request: pb.ModelInferRequest, deadline: Deadline, metadata: Metadata
) -> AsyncGenerator[pb.ModelStreamInferResponse, None]:
    """Each as it comes, of the first replica that takes the call; leaving them ends it. Raises as `to_error` says."""
    stubs, began = await replicas.stubs(), False
    while stubs:
        stub = stubs.pop(0)
        try:
            async with aclosing(_responses(stub, request, deadline.require_seconds(), metadata)) as found:
                async for response in found:
                    began = True
                    yield response
        except errors.Unavailable:
            if began or not stubs:
                raise
        else:
            return


async def _responses(
    stub: service_pb2_grpc.GRPCInferenceServiceStub, request: pb.ModelInferRequest, seconds: float, metadata: Metadata
) -> AsyncGenerator[pb.ModelStreamInferResponse, None]:
    """Those of one replica, within so many seconds.

    Raises Unavailable also when the call is silent since the model's process is gone: Triton tells nobody when a
    process dies that was answering, but its model is not ready while it is reloaded. That it is not ready while Triton
    stops means nothing: what has begun is finished.
    """
    model = request.model_name
    call = stub.ModelStreamInfer([request], timeout=seconds, metadata=metadata)
    try:
        while True:
            reading = asyncio.ensure_future(call.read())
            while not (await asyncio.wait({reading}, timeout=_SILENCE_SECONDS))[0]:
                if await _is_gone(stub, model):
                    raise to_error(grpc.StatusCode.UNAVAILABLE, "", model)
            if (response := reading.result()) is grpc.aio.EOF:
                return
            if response.error_message:
                raise to_error(grpc.StatusCode.UNKNOWN, response.error_message, model)
            yield response
    except AioRpcError as error:
        raise to_error(error.code(), error.details() or "", model) from None
    finally:
        # Leaving the loop does not do it, nor does the end of the task that reads.
        call.cancel()


async def _is_gone(stub: service_pb2_grpc.GRPCInferenceServiceStub, model: str) -> bool:
    with suppress(AioRpcError):
        if not (await stub.ModelReady(pb.ModelReadyRequest(name=model), timeout=_ASK_SECONDS)).ready:
            return bool((await stub.ServerLive(pb.ServerLiveRequest(), timeout=_ASK_SECONDS)).live)
    return False
