"""StreamingAnnotateVideo."""

from __future__ import annotations

import difflib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

from opentelemetry import trace

from maas.vision.v1 import video_pb2 as pb
from maas.vision.v1 import vision_pb2_grpc
from services.mesh import errors
from services.mesh.call import Context
from services.mesh.durations import to_duration, to_seconds
from services.mesh.models import ModelCard
from services.mesh.ports import ShotChange
from services.mesh.request import fraction, one_of, request_id
from services.mesh.server import budget
from services.mesh.streams import first_config, kind_of
from services.vision.pipelines.detect import DETECTION
from services.vision.pipelines.faces.find import DETECTION as FACE_DETECTION
from services.vision.pipelines.images import ImagePipelines
from services.vision.pipelines.read import READING
from services.vision.pipelines.video.annotate import Finding, FrameFindings, Progress, VideoAnnotator
from services.vision.pipelines.video.frames import Footage, Still
from services.vision.pipelines.video.look import VideoPlan
from services.vision.pipelines.video.summary import TrackSummary, VideoSummary
from services.vision.rpc import results
from services.vision.rpc.faces import face_to_proto

# For calls whose client set no deadline.
LONGEST_SECONDS = 3600.0
_MAX_CHUNK_BYTES = 1024 * 1024
# A year.
_MAX_OFFSET_SECONDS = 31_536_000
_DEFAULT_FRAMES, _MAX_FRAMES = 5, 30
_MAX_NAMES = 100
_DEFAULT_SCORE = 0.5


class VideoRpcs(vision_pb2_grpc.VisionServiceServicer):
    """The RPC that watches videos."""

    _images: ImagePipelines
    _videos: VideoAnnotator

    async def StreamingAnnotateVideo(
        self, request_iterator: AsyncIterator[pb.StreamingAnnotateVideoRequest], context: Context
    ) -> AsyncIterator[pb.StreamingAnnotateVideoResponse]:
        """What happens in a video, while it is being sent."""
        deadline = budget(context, default_seconds=LONGEST_SECONDS)
        span = trace.get_current_span()
        config = await first_config(request_iterator)
        plan = _plan(config, self._images)
        first = True
        async with (
            aclosing(_data(request_iterator)) as data,
            aclosing(self._videos.annotate(plan, Footage(data), deadline)) as findings,
        ):
            async for finding in findings:
                if first and not isinstance(finding, Progress):
                    span.add_event("first answer")
                    first = False
                if isinstance(finding, VideoSummary):
                    span.set_attribute("maas.video.frames_analyzed", finding.frames_analyzed)
                yield _response(finding, plan, config.request_id)


async def _data(requests: AsyncIterator[pb.StreamingAnnotateVideoRequest]) -> AsyncGenerator[bytes | Still, None]:
    """What the messages after the first bring. Raises InvalidArgument for those that may not come, or not like this."""
    kind, last = "", -1.0
    async for request in requests:
        came = kind_of(request)
        if came == "config":
            raise errors.InvalidArgument.field("config", "comes once, in the first message")
        if kind and came != kind:
            raise errors.InvalidArgument.field(
                came, f"came after {kind}: a video is sent either as a file or in single frames"
            )
        kind = came
        if came == "frame":
            still = _still(request.frame, last)
            last = still.offset_seconds
            yield still
            continue
        content = request.content  # Each reading of the field copies it.
        if not 1 <= len(content) <= _MAX_CHUNK_BYTES:
            raise errors.InvalidArgument.field("content", f"takes 1 to {_MAX_CHUNK_BYTES} bytes, got {len(content)}")
        yield content


def _still(frame: pb.VideoFrame, last: float) -> Still:
    offset = to_seconds(frame.offset)
    if not 0 <= offset <= _MAX_OFFSET_SECONDS:
        raise errors.InvalidArgument.field("frame.offset", f"takes 0 to {_MAX_OFFSET_SECONDS} seconds, got {offset:g}")
    if offset <= last:
        raise errors.InvalidArgument.field(
            "frame.offset", f"must be later than that of the frame before, {last:g} seconds; got {offset:g}"
        )
    content = frame.image
    if not content:
        raise errors.InvalidArgument.field("frame.image", "is required")
    return Still(content, offset)


def _plan(config: pb.VideoConfig, images: ImagePipelines) -> VideoPlan:
    """What to find out. Raises InvalidArgument, and what picking the models raises."""
    _require_uuid(config)
    features = _features(config.features)
    rate = config.frames_per_second
    if not 0 <= rate <= _MAX_FRAMES:
        raise errors.InvalidArgument.field("config.frames_per_second", f"takes 0 to {_MAX_FRAMES}, got {rate:g}")

    def card(feature: pb.VideoFeature.ValueType, task: str, name: str = "") -> ModelCard | None:
        return images.models.pick(task, name) if feature in features else None

    object_card = card(pb.VIDEO_FEATURE_OBJECTS, DETECTION, config.object_model)
    return VideoPlan(
        object_card=object_card,
        face_card=card(pb.VIDEO_FEATURE_FACES, FACE_DETECTION),
        text_card=card(pb.VIDEO_FEATURE_TEXT, READING),
        shot_changes=pb.VIDEO_FEATURE_SHOT_CHANGES in features,
        frames_per_second=rate or _DEFAULT_FRAMES,
        min_object_score=fraction("config.min_object_score", config.min_object_score, default=_DEFAULT_SCORE),
        object_names=_names(config.object_names, object_card),
        # Of which nothing could be told when only shots are looked for.
        frames=not config.omit_frames and features != {pb.VIDEO_FEATURE_SHOT_CHANGES},
    )


def _require_uuid(config: pb.VideoConfig) -> None:
    try:
        request_id(config)
    except errors.InvalidArgument:
        raise errors.InvalidArgument.field("config.request_id", "must be a UUID") from None


def _features(features: Sequence[pb.VideoFeature.ValueType]) -> set[pb.VideoFeature.ValueType]:
    if not features:
        raise errors.InvalidArgument.field("config.features", "takes at least one")
    known = set(pb.VideoFeature.values()) - {pb.VIDEO_FEATURE_UNSPECIFIED}
    found: set[pb.VideoFeature.ValueType] = set()
    for index, feature in enumerate(features):
        field = f"config.features[{index}]"
        one_of(field, feature, known)
        if feature in found:
            raise errors.InvalidArgument.field(field, f"repeats {pb.VideoFeature.Name(feature)}")
        found.add(feature)
    return found


def _names(names: Sequence[str], card: ModelCard | None) -> frozenset[str]:
    if len(names) > _MAX_NAMES:
        raise errors.InvalidArgument.field("config.object_names", f"takes at most {_MAX_NAMES} names, got {len(names)}")
    if card is None:
        return frozenset()
    for index, name in enumerate(names):
        if name not in card.labels:
            like = difflib.get_close_matches(name[:100].lower(), card.labels, n=5)
            hint = f"; like it are: {', '.join(like)}" if like else ""
            raise errors.InvalidArgument.field(
                f"config.object_names[{index}]", f"is no class that model {card.name!r} knows{hint}"
            )
    return frozenset(names)


def _response(finding: Finding, plan: VideoPlan, echo: str) -> pb.StreamingAnnotateVideoResponse:
    if isinstance(finding, FrameFindings):
        return pb.StreamingAnnotateVideoResponse(frame=_frame(finding))
    if isinstance(finding, ShotChange):
        return pb.StreamingAnnotateVideoResponse(shot_change=_shot_change(finding))
    if isinstance(finding, Progress):
        return pb.StreamingAnnotateVideoResponse(
            progress=pb.VideoProgress(
                bytes_received=finding.bytes_received,
                offset=to_duration(finding.offset_seconds),
                frames_analyzed=finding.frames_analyzed,
                waiting_for_index=finding.waiting_for_index,
            )
        )
    return pb.StreamingAnnotateVideoResponse(summary=_summary(finding, plan, echo))


def _frame(found: FrameFindings) -> pb.FrameAnnotation:
    return pb.FrameAnnotation(
        offset=to_duration(found.offset_seconds),
        objects=[
            pb.TrackedObject(track_id=track_id, name=each.name, score=each.score, bounding_box=results.box(each.box))
            for track_id, each in found.objects
        ],
        faces=[pb.TrackedFace(track_id=track_id, face=face_to_proto(each)) for track_id, each in found.faces],
        text_lines=map(results.text_line, found.lines),
    )


def _shot_change(change: ShotChange) -> pb.ShotChange:
    return pb.ShotChange(offset=to_duration(change.offset_seconds), score=change.score)


def _summary(found: VideoSummary, plan: VideoPlan, echo: str) -> pb.VideoSummary:
    cards = (plan.object_card, plan.face_card, plan.text_card)
    return pb.VideoSummary(
        duration=to_duration(found.duration_seconds),
        width=found.width,
        height=found.height,
        frames_decoded=found.frames_decoded,
        frames_analyzed=found.frames_analyzed,
        damaged=found.damaged,
        tracks=map(_track, found.tracks),
        tracks_omitted=found.tracks_omitted,
        shot_changes=map(_shot_change, found.shot_changes),
        texts=[
            pb.TextAppearance(
                text=each.text,
                start_offset=to_duration(each.start_seconds),
                end_offset=to_duration(each.end_seconds),
                score=each.score,
            )
            for each in found.texts
        ],
        models=[card.name for card in cards if card is not None],
        request_id=echo,
    )


def _track(found: TrackSummary) -> pb.TrackSummary:
    return pb.TrackSummary(
        track_id=found.id,
        name=found.name,
        start_offset=to_duration(found.start_seconds),
        end_offset=to_duration(found.end_seconds),
        visible_duration=to_duration(found.visible_seconds),
        best_score=found.best.score,
        best_box=results.box(found.best.box),
        best_offset=to_duration(found.best.offset_seconds),
    )
