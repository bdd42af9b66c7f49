"""The RPC for videos."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from maas.preprocessing.v1 import preprocessing_pb2 as pb
from maas.preprocessing.v1 import preprocessing_pb2_grpc
from services.mesh.call import Context
from services.mesh.durations import to_duration
from services.mesh.pictures import pixels_to_proto
from services.mesh.ports import ShotChange, VideoEnd, VideoEvent, VideoFrame
from services.mesh.request import request_id
from services.mesh.server import budget
from services.preprocessing.pipelines.inputs import MAX_FRAME_TARGETS, InputPipelines
from services.preprocessing.rpc.images import to_targets
from services.preprocessing.rpc.streams import LONGEST_SECONDS, chunks_of, config_of


class VideoRpcs(preprocessing_pb2_grpc.PreprocessingServiceServicer):
    """Videos to frames."""

    _pipelines: InputPipelines

    async def ExtractFrames(
        self, request_iterator: AsyncIterator[pb.ExtractFramesRequest], context: Context
    ) -> AsyncIterator[pb.ExtractFramesResponse]:
        """A video to frames, while it comes."""
        config = await config_of(request_iterator)
        echo = request_id(config)
        events = self._pipelines.extract_frames(
            chunks_of(request_iterator),
            to_targets("config.targets", config.targets, fewest=0, most=MAX_FRAME_TARGETS),
            frames_per_second=config.frames_per_second,
            detect_shot_changes=config.detect_shot_changes,
            deadline=budget(context, default_seconds=LONGEST_SECONDS),
        )
        async with aclosing(events):
            async for event in events:
                yield _response(event, echo)


def _response(event: VideoEvent, request_id: str) -> pb.ExtractFramesResponse:
    match event:
        case VideoFrame():
            return pb.ExtractFramesResponse(frame=_frame(event))
        case ShotChange():
            change = pb.ShotChange(offset=to_duration(event.offset_seconds), score=event.score)
            return pb.ExtractFramesResponse(shot_change=change)
        case VideoEnd():
            return pb.ExtractFramesResponse(end=_end(event, request_id))
        case _:
            return pb.ExtractFramesResponse(waiting_for_index=pb.WaitingForIndex())


def _frame(frame: VideoFrame) -> pb.ExtractedFrame:
    first = frame.renderings[0]
    return pb.ExtractedFrame(
        offset=to_duration(frame.offset_seconds),
        renderings=[pixels_to_proto(pixels) for pixels in frame.renderings],
        source_width=first.source_width,
        source_height=first.source_height,
    )


def _end(end: VideoEnd, request_id: str) -> pb.VideoEnd:
    return pb.VideoEnd(
        duration=to_duration(end.duration_seconds),
        frames_decoded=end.frames_decoded,
        damaged=end.damaged,
        source_container=end.container,
        source_codec=end.codec,
        request_id=request_id,
    )
