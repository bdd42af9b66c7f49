"""Frames of videos from the preprocessing service: the stream behind the port's extract_frames."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from google.protobuf.duration_pb2 import Duration
from grpc.aio import AioRpcError, Metadata

from maas.preprocessing.v1 import preprocessing_pb2 as pb
from services.mesh.client import client_span, trace_metadata
from services.mesh.pictures import pixels_from_proto, target_to_proto
from services.mesh.ports import ShotChange, Target, VideoEnd, VideoEvent, VideoFrame, WaitingForIndex
from services.mesh.status import from_rpc_error

if TYPE_CHECKING:
    from grpc.aio import Call

    from maas.preprocessing.v1.preprocessing_pb2_grpc import PreprocessingServiceAsyncStub
    from services.mesh.deadline import Deadline

SERVICE = "maas.preprocessing.v1.PreprocessingService"

Value = TypeVar("Value")


class _Chunks:
    """What of the file is sent.

    cancel: ends the call. failure: what the caller's own chunks raised, for which gRPC has no words.
    """

    def __init__(self, chunks: AsyncIterator[bytes], config: pb.ExtractFramesConfig) -> None:
        self._chunks = chunks
        self._config = config
        self._next: asyncio.Future[bytes | None] | None = None
        self._closed = False
        self.failure: Exception | None = None
        self.cancel: Callable[[], object] = lambda: None

    async def requests(self) -> AsyncIterator[pb.ExtractFramesRequest]:
        """The messages of the call. It is gRPC that reads them, when the service has taken those before."""
        yield pb.ExtractFramesRequest(config=self._config)
        try:
            while not self._closed:
                self._next = asyncio.ensure_future(anext(self._chunks, None))
                await asyncio.wait({self._next})
                chunk = None if self._next.cancelled() else self._next.result()
                if chunk is None:
                    return
                yield pb.ExtractFramesRequest(content=chunk)
        except Exception as error:  # noqa: BLE001 - raised again where the events are taken
            self.failure = error
            self.cancel()

    async def close(self) -> None:
        """Read no further: gRPC itself would wait for the next chunk of a call that has ended."""
        self._closed = True
        if self._next is not None:
            self._next.cancel()
            await asyncio.wait({self._next})


async def extract_frames(
    stub: PreprocessingServiceAsyncStub,
    chunks: AsyncIterator[bytes],
    targets: Sequence[Target],
    *,
    frames_per_second: float,
    detect_shot_changes: bool,
    deadline: Deadline,
) -> AsyncGenerator[VideoEvent, None]:
    """Decode a video from the chunks of its file, each of 1 byte to 1 MiB; see the port.

    Raises what the service meant, and what the chunks raise. Closing the generator ends the call at once.
    """
    timeout = deadline.require_seconds()
    config = pb.ExtractFramesConfig(
        frames_per_second=frames_per_second,
        targets=[target_to_proto(target) for target in targets],
        detect_shot_changes=detect_shot_changes,
    )
    sent = _Chunks(chunks, config)
    # Not the current span: between two events the caller's code runs, whose spans are no part of this call.
    with client_span(f"{SERVICE}/ExtractFrames", current=False) as span:
        call = stub.ExtractFrames(sent.requests(), timeout=timeout, metadata=trace_metadata(span))
        sent.cancel = call.cancel
        ending = _Ending(call)
        try:
            async for response in call:
                yield _event(response)
        except (AioRpcError, asyncio.CancelledError) as error:
            if sent.failure is not None:
                raise sent.failure from None
            if isinstance(error, AioRpcError):
                raise from_rpc_error(ending.meant(error), SERVICE) from None
            raise
        finally:
            # Leaving the loop does not do it, nor does the end of the task that reads.
            call.cancel()
            await sent.close()


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


def _event(response: pb.ExtractFramesResponse) -> VideoEvent:
    match response.WhichOneof("streaming_response"):
        case "frame":
            frame = response.frame
            size = frame.source_width, frame.source_height
            return VideoFrame(
                _seconds(frame.offset), tuple(pixels_from_proto(each, *size) for each in frame.renderings)
            )
        case "shot_change":
            return ShotChange(_seconds(response.shot_change.offset), response.shot_change.score)
        case "end":
            end = response.end
            return VideoEnd(
                _seconds(end.duration), end.frames_decoded, end.damaged, end.source_container, end.source_codec
            )
        case _:
            return WaitingForIndex()


def _seconds(duration: Duration) -> float:
    return duration.ToTimedelta().total_seconds()
