"""Frames of videos from the preprocessing service: the stream behind the port's extract_frames."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from maas.preprocessing.v1 import preprocessing_pb2 as pb
from services.mesh.durations import to_seconds
from services.mesh.exchange import exchange
from services.mesh.pictures import pixels_from_proto, target_to_proto
from services.mesh.ports import ShotChange, Target, VideoEnd, VideoEvent, VideoFrame, WaitingForIndex
from services.mesh.timing import Stage, stage

if TYPE_CHECKING:
    from maas.preprocessing.v1.preprocessing_pb2_grpc import PreprocessingServiceAsyncStub
    from services.mesh.deadline import Deadline

METHOD = "maas.preprocessing.v1.PreprocessingService/ExtractFrames"


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
    config = pb.ExtractFramesConfig(
        frames_per_second=frames_per_second,
        targets=[target_to_proto(target) for target in targets],
        detect_shot_changes=detect_shot_changes,
    )
    async with (
        aclosing(_requests(config, chunks)) as requests,
        aclosing(exchange(stub.ExtractFrames, requests, method=METHOD, deadline=deadline)) as responses,
    ):
        end = None
        while (response := await _next(responses)) is not None:
            event = _event(response)
            if isinstance(event, VideoEnd):
                # The call is read to its own end first: who has this event asks for no more.
                end = event
            else:
                yield event
    if end is not None:
        yield end


async def _next(responses: AsyncIterator[pb.ExtractFramesResponse]) -> pb.ExtractFramesResponse | None:
    with stage(Stage.LISTEN):
        return await anext(responses, None)


async def _requests(
    config: pb.ExtractFramesConfig, chunks: AsyncIterator[bytes]
) -> AsyncGenerator[pb.ExtractFramesRequest, None]:
    yield pb.ExtractFramesRequest(config=config)
    async for chunk in chunks:
        yield pb.ExtractFramesRequest(content=chunk)


def _event(response: pb.ExtractFramesResponse) -> VideoEvent:
    match response.WhichOneof("streaming_response"):
        case "frame":
            frame = response.frame
            size = frame.source_width, frame.source_height
            return VideoFrame(
                to_seconds(frame.offset), tuple(pixels_from_proto(each, *size) for each in frame.renderings)
            )
        case "shot_change":
            return ShotChange(to_seconds(response.shot_change.offset), response.shot_change.score)
        case "end":
            end = response.end
            return VideoEnd(
                to_seconds(end.duration), end.frames_decoded, end.damaged, end.source_container, end.source_codec
            )
        case _:
            return WaitingForIndex()
