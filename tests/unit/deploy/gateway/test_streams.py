"""Streams of requests through the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest

from maas.preprocessing.v1 import preprocessing_pb2 as pb
from maas.preprocessing.v1 import preprocessing_pb2_grpc
from services.mesh import errors

CONFIG = pb.ExtractFramesRequest(config=pb.ExtractFramesConfig())
CHUNK = pb.ExtractFramesRequest(content=bytes(64 * 1024))
MEBIBYTE = 1024 * 1024


def _open(gateway: Any, **options: Any) -> Any:
    return preprocessing_pb2_grpc.PreprocessingServiceStub(gateway.channel).ExtractFrames(**options)


async def _code(call: Any) -> grpc.StatusCode:
    """The status with which a stream ends."""
    try:
        async for _ in call:
            pass
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_messages_pass_as_they_come(gateway: Any) -> None:
    """A message is answered while the caller still has to send the next."""
    call = _open(gateway)
    for message in (CONFIG, CHUNK, CHUNK):
        await call.write(message)
        assert (await call.read()).HasField("waiting_for_index")
    await call.done_writing()
    assert await call.read() == grpc.aio.EOF


@pytest.mark.parametrize("configure", [{"max_request_bytes": 100_000}])
async def test_only_messages_are_bounded(gateway: Any) -> None:
    """A stream may bring more than a call may."""

    async def messages() -> AsyncIterator[pb.ExtractFramesRequest]:
        for _ in range(8):
            yield CHUNK

    assert await _code(_open(gateway, request_iterator=messages())) is grpc.StatusCode.OK
    assert gateway.frames.taken_bytes == 8 * 64 * 1024


async def test_a_stream_has_an_hour(gateway: Any) -> None:
    """The service sees an hour as the deadline, and never a longer one; the caller's own when it is shorter."""
    for timeout, most in ((None, 3600), (9000, 3600), (30, 30)):
        call = _open(gateway, timeout=timeout)
        await call.write(CONFIG)
        await call.read()
        call.cancel()
        assert most - 5 < gateway.frames.remaining_seconds[-1] <= most + 0.5


@pytest.mark.parametrize(
    ("configure", "codes"),
    [
        # Envoy can only break off an answer that has begun.
        ({"stream_idle_seconds": 1}, {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE}),
        ({"stream_limit_seconds": 1}, {grpc.StatusCode.DEADLINE_EXCEEDED}),
    ],
    ids=["idle", "limit"],
)
async def test_streams_end(gateway: Any, codes: set[grpc.StatusCode]) -> None:
    """A stream on which nothing happens, or that takes too long, is ended, and the service learns it."""
    gateway.frames.taking.clear()
    call = _open(gateway)
    await call.write(CONFIG)
    assert await _code(call) in codes
    await gateway.frames.cancelled.wait()


async def test_a_caller_who_leaves(gateway: Any) -> None:
    """The service learns that the caller has gone."""
    gateway.frames.taking.clear()
    call = _open(gateway)
    await call.write(CONFIG)
    await call.read()
    call.cancel()
    await gateway.frames.cancelled.wait()


async def test_a_stream_is_not_begun_again(gateway: Any) -> None:
    """What fails is not tried once more, since messages have gone already."""
    gateway.frames.refusal = errors.Unavailable("the service restarts")
    call = _open(gateway)
    assert await _code(call) is grpc.StatusCode.UNAVAILABLE
    assert len(gateway.frames.remaining_seconds) == 1


async def test_a_service_that_stops_makes_the_caller_stop(gateway: Any) -> None:
    """What nobody has taken stays with the caller, but for some megabytes; then all of it arrives."""
    gateway.frames.taking.clear()
    written = 0
    chunks = 64 * MEBIBYTE // len(CHUNK.content)

    async def messages() -> AsyncIterator[pb.ExtractFramesRequest]:
        nonlocal written
        for _ in range(chunks):
            written += len(CHUNK.content)
            yield CHUNK

    call = _open(gateway, request_iterator=messages())
    ended = asyncio.ensure_future(_code(call))
    seen = -1
    while seen < written or not gateway.frames.taken_bytes:
        seen = written
        await asyncio.wait({ended}, timeout=0.25)
    assert written < 16 * MEBIBYTE
    gateway.frames.taking.set()
    assert await ended is grpc.StatusCode.OK
    assert gateway.frames.taken_bytes == written == 64 * MEBIBYTE
