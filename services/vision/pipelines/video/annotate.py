"""Finds out what happens in a video, while it is still being sent."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeVar

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.ports import Preprocessor, ShotChange, VideoEnd, VideoEvent, VideoFrame, WaitingForIndex
from services.vision.pipelines.detect import Detection
from services.vision.pipelines.faces.face import Face
from services.vision.pipelines.images import ImagePipelines
from services.vision.pipelines.read import TextLine
from services.vision.pipelines.video.frames import Footage
from services.vision.pipelines.video.look import MIN_FACE_SCORE, Look, Looker, VideoPlan
from services.vision.pipelines.video.ordered import ordered, ticking
from services.vision.pipelines.video.summary import Chronicle, VideoSummary
from services.vision.pipelines.video.track import Sighting, Tracker

# Frames that are being decoded, looked at or answered at the same time: so inference and decoding go on beside each
# other, and Triton may batch.
_AT_ONCE = 4
# Writing stays for a while and takes long to read. The sender's clock may round.
_READING_SECONDS = 0.998

_Seen = TypeVar("_Seen", bound=Sighting)


@dataclass(frozen=True, slots=True)
class FrameFindings:
    """What is on one frame: things and faces, each with its track's id, and writing, if it was looked for.

    A thing has the name that its track has so far, since models confuse like classes from frame to frame.
    """

    offset_seconds: float
    objects: list[tuple[int, Detection]]
    faces: list[tuple[int, Face]]
    lines: list[TextLine]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the analysis is. waiting_for_index: nothing can be decoded before the file has come whole."""

    bytes_received: int
    offset_seconds: float
    frames_analyzed: int
    waiting_for_index: bool


Finding = FrameFindings | ShotChange | Progress | VideoSummary


class VideoAnnotator:
    """Follows what is found on single frames through a video."""

    def __init__(
        self,
        preprocessor: Preprocessor,
        images: ImagePipelines,
        *,
        progress_seconds: float = 1.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """progress_seconds: how often progress is told. now: the time in seconds, from any moment on."""
        self._preprocessor = preprocessor
        self._images = images
        self._progress_seconds = progress_seconds
        self._now = now

    async def annotate(self, plan: VideoPlan, footage: Footage, deadline: Deadline) -> AsyncGenerator[Finding, None]:
        """What happens, in order; the summary at the end. What is not taken is neither analysed nor read.

        Closing ends the work. Raises InvalidArgument for a video that cannot be read, and what inference raises.
        """
        looker = Looker(self._images, plan)
        reading = _Reading(wanted=plan.text_card is not None)

        def work(event: VideoEvent) -> Awaitable[VideoEvent | Look]:
            if isinstance(event, VideoFrame):
                return looker.look(event, read=reading.due(event.offset_seconds), deadline=deadline)
            if isinstance(event, ShotChange):
                reading.shot_changed()
            return _itself(event)

        story = _Story(plan)
        told, told_at = story.progress(footage), self._now()
        async with (
            aclosing(
                footage.events(
                    self._preprocessor,
                    looker.targets,
                    frames_per_second=plan.frames_per_second,
                    deadline=deadline,
                )
            ) as events,
            aclosing(ordered(events, work, at_once=_AT_ONCE)) as seen,
            aclosing(ticking(seen, self._progress_seconds)) as steps,
        ):
            async for step in steps:
                for finding in story.goes_on(step):
                    yield finding
                progress, now = story.progress(footage), self._now()
                begins_to_wait = progress.waiting_for_index and not told.waiting_for_index
                if begins_to_wait or (now - told_at >= self._progress_seconds and progress != told):
                    yield progress
                    told, told_at = progress, now
        yield story.ended()


class _Reading:
    """When writing is looked for: at most once a second, and at each shot change."""

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted
        self._last: float | None = None

    def due(self, offset: float) -> bool:
        """Whether it is on the next frame."""
        if not self._wanted or (self._last is not None and offset - self._last < _READING_SECONDS):
            return False
        self._last = offset
        return True

    def shot_changed(self) -> None:
        """The next frame shows something else."""
        self._last = None


class _Story:
    """What happened so far."""

    def __init__(self, plan: VideoPlan) -> None:
        self._plan = plan
        self._chronicle = Chronicle()
        ids = itertools.count(1)
        self._objects = Tracker(ids, self._chronicle.track_ended)
        self._faces = Tracker(ids, self._chronicle.track_ended)
        self._frames = 0
        self._offset = 0.0
        self._size = (0, 0)
        self._waiting = False
        self._end: VideoEnd | None = None

    def goes_on(self, step: VideoEvent | Look | None) -> Sequence[FrameFindings | ShotChange]:
        """Take in what comes next; what is to be told of it."""
        if isinstance(step, WaitingForIndex):
            self._waiting = True
        elif isinstance(step, VideoEnd):
            self._end = step
        elif isinstance(step, ShotChange):
            self._end_tracks(step.offset_seconds)
            if self._plan.shot_changes:
                self._chronicle.shot_changed(step)
                return [step]
        elif isinstance(step, Look):
            found = self._looked(step)
            if self._plan.frames:
                return [found]
        return []

    def _looked(self, look: Look) -> FrameFindings:
        self._waiting = False
        self._frames += 1
        self._offset = look.offset_seconds
        self._size = (look.width, look.height)
        self._chronicle.texts_read(look.offset_seconds, look.lines or ())
        objects, weak_objects = _split(look.objects, self._plan.min_object_score)
        faces, weak_faces = _split(look.faces, MIN_FACE_SCORE)
        aspect = look.width / look.height
        things = self._objects.update(look.offset_seconds, aspect, _named(objects), _named(weak_objects))
        people = self._faces.update(look.offset_seconds, aspect, _named(faces), _named(weak_faces))
        return FrameFindings(
            look.offset_seconds,
            [(track.id, replace(found, name=track.name)) for track, found in zip(things, objects, strict=True)],
            [(track.id, found) for track, found in zip(people, faces, strict=True)],
            look.lines or [],
        )

    def _end_tracks(self, offset: float) -> None:
        self._objects.end(offset)
        self._faces.end(offset)

    def progress(self, footage: Footage) -> Progress:
        """How far it is."""
        return Progress(footage.bytes_received, self._offset, self._frames, self._waiting)

    def ended(self) -> VideoSummary:
        """The whole of it. Raises InvalidArgument when there was nothing but damage."""
        end = self._end
        if end is None or (end.damaged and not self._frames):
            raise errors.InvalidArgument.field("content", "is damaged: no frame of it could be decoded")
        self._end_tracks(max(end.duration_seconds, self._offset))
        width, height = self._size
        return self._chronicle.summary(
            duration_seconds=end.duration_seconds,
            width=width,
            height=height,
            frames_decoded=end.frames_decoded,
            frames_analyzed=self._frames,
            damaged=end.damaged,
        )


async def _itself(event: VideoEvent) -> VideoEvent:
    return event


def _split(found: Sequence[_Seen], min_score: float) -> tuple[list[_Seen], list[_Seen]]:
    """Those that count, and the weak ones."""
    return [each for each in found if each.score >= min_score], [each for each in found if each.score < min_score]


def _named(found: Sequence[Detection | Face]) -> list[tuple[str, Sighting]]:
    """With the names of their classes."""
    return [(each.name if isinstance(each, Detection) else "face", each) for each in found]
