"""The RPC for videos."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from google.protobuf.duration_pb2 import Duration

from maas.preprocessing.v1 import preprocessing_pb2 as pb
from maas.preprocessing.v1 import preprocessing_pb2_grpc
from services.mesh import errors
from services.mesh.interceptors import Context
from services.mesh.pictures import pixels_to_proto
from services.mesh.ports import ShotChange, VideoEnd, VideoEvent, VideoFrame
from services.mesh.request import request_id
from services.mesh.server import budget
from services.preprocessing.pipelines.inputs import MAX_FRAME_TARGETS, InputPipelines
from services.preprocessing.rpc.images import to_targets

MAX_CHUNK_BYTES = 1024 * 1024
# Of a call whose client set no deadline.
LONGEST_SECONDS = 3600.0


class VideoRpcs(preprocessing_pb2_grpc.PreprocessingServiceServicer):
    """Videos to frames."""

    _pipelines: InputPipelines

    async def ExtractFrames(
        self, request_iterator: AsyncIterator[pb.ExtractFramesRequest], context: Context
    ) -> AsyncIterator[pb.ExtractFramesResponse]:
        """A video to frames, while it comes."""
        config = await _config(request_iterator)
        echo = request_id(config)
        events = self._pipelines.extract_frames(
            _chunks(request_iterator),
            to_targets("config.targets", config.targets, fewest=0, most=MAX_FRAME_TARGETS),
            frames_per_second=config.frames_per_second,
            detect_shot_changes=config.detect_shot_changes,
            deadline=budget(context, default_seconds=LONGEST_SECONDS),
        )
        async with aclosing(events):
            async for event in events:
                yield _response(event, echo)


async def _config(requests: AsyncIterator[pb.ExtractFramesRequest]) -> pb.ExtractFramesConfig:
    """What is wanted. Raises InvalidArgument when the stream begins with anything else."""
    async for request in requests:
        if request.WhichOneof("streaming_request") == "config":
            return request.config
        break
    raise errors.InvalidArgument.field("config", "is required as the first message")


async def _chunks(requests: AsyncIterator[pb.ExtractFramesRequest]) -> AsyncIterator[bytes]:
    """The pieces of the file. Raises InvalidArgument for any other message."""
    async for request in requests:
        if request.WhichOneof("streaming_request") == "config":
            raise errors.InvalidArgument.field("config", "is taken as the first message only")
        chunk = request.content
        if not 1 <= len(chunk) <= MAX_CHUNK_BYTES:
            raise errors.InvalidArgument.field("content", f"takes 1 to {MAX_CHUNK_BYTES} bytes, got {len(chunk)}")
        yield chunk


def _response(event: VideoEvent, request_id: str) -> pb.ExtractFramesResponse:
    match event:
        case VideoFrame():
            return pb.ExtractFramesResponse(frame=_frame(event))
        case ShotChange():
            change = pb.ShotChange(offset=_duration(event.offset_seconds), score=event.score)
            return pb.ExtractFramesResponse(shot_change=change)
        case VideoEnd():
            return pb.ExtractFramesResponse(end=_end(event, request_id))
        case _:
            return pb.ExtractFramesResponse(waiting_for_index=pb.WaitingForIndex())


def _frame(frame: VideoFrame) -> pb.ExtractedFrame:
    first = frame.renderings[0]
    return pb.ExtractedFrame(
        offset=_duration(frame.offset_seconds),
        renderings=[pixels_to_proto(pixels) for pixels in frame.renderings],
        source_width=first.source_width,
        source_height=first.source_height,
    )


def _end(end: VideoEnd, request_id: str) -> pb.VideoEnd:
    return pb.VideoEnd(
        duration=_duration(end.duration_seconds),
        frames_decoded=end.frames_decoded,
        damaged=end.damaged,
        source_container=end.container,
        source_codec=end.codec,
        request_id=request_id,
    )


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMicroseconds(round(seconds * 1_000_000))
    return duration
