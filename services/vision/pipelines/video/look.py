"""What single frames of a video show."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.pieces import piece
from services.mesh.ports import Target, VideoFrame
from services.mesh.together import together
from services.vision.pipelines.detect import Detection
from services.vision.pipelines.faces.face import Face
from services.vision.pipelines.images import ImagePipelines
from services.vision.pipelines.picture import Picture, model_target
from services.vision.pipelines.read import TextLine

# As DetectFaces and RecognizeText take it, when they are not told.
MIN_FACE_SCORE = 0.5
_MIN_TEXT_SCORE = 0.8
# What is seen with this share of the score that counts is weak: it is no finding, but tells where something went.
_WEAK = 0.4
_MAX_RESULTS = 100
# Beyond it a frame has failed, however long the video is.
_FRAME_SECONDS = 60.0
# Of all renderings of a frame, as preprocessing gives them.
_MAX_FRAME_PIXELS = 2_097_152
# When nothing is looked for: tells the size of the frames, and how far the video is.
_GLANCE = Target(16, 16, "stretch")


@dataclass(frozen=True, slots=True)
class VideoPlan:
    """What to find out about a video; a feature without a card is not wanted.

    object_names: of the classes that count, all when empty. frames: whether findings are told for each frame.
    """

    object_card: ModelCard | None = None
    face_card: ModelCard | None = None
    text_card: ModelCard | None = None
    shot_changes: bool = False
    frames_per_second: float = 5.0
    min_object_score: float = 0.5
    object_names: frozenset[str] = frozenset()
    frames: bool = True


@dataclass(frozen=True, slots=True)
class Look:
    """What a frame shows, weak sightings included. lines: None when writing was not looked for."""

    offset_seconds: float
    width: int
    height: int
    objects: list[Detection]
    faces: list[Face]
    lines: list[TextLine] | None


class Looker:
    """Looks at frames as one plan asks; all features of a frame at the same time.

    targets: what each frame must be rendered for.
    """

    def __init__(self, images: ImagePipelines, plan: VideoPlan) -> None:
        self._images = images
        self._plan = plan
        cards = [card for card in (plan.object_card, plan.face_card, plan.text_card) if card is not None]
        self._wanted = list(dict.fromkeys(model_target(card) for card in cards)) or [_GLANCE]
        self.targets = _fitting(self._wanted)

    async def look(self, frame: VideoFrame, *, read: bool, deadline: Deadline) -> Look:
        """What a frame shows. read: whether writing is looked for too. Raises what inference raises."""
        first = frame.renderings[0]
        picture = Picture(
            first.source_width, first.source_height, dict(zip(self._wanted, frame.renderings, strict=True))
        )
        soon = Deadline.after(min(_FRAME_SECONDS, deadline.require_seconds()))
        with piece("frame"):
            objects, faces, lines = await together(
                [self._objects(picture, soon), self._faces(picture, soon), self._lines(picture, soon, wanted=read)]
            )
        return Look(frame.offset_seconds, picture.width, picture.height, objects, faces, lines)

    async def _objects(self, picture: Picture, deadline: Deadline) -> Any:
        plan = self._plan
        if plan.object_card is None:
            return []
        found = await self._images.detector.detect(
            picture,
            plan.object_card,
            max_results=_MAX_RESULTS,
            min_score=plan.min_object_score * _WEAK,
            deadline=deadline,
        )
        return [each for each in found.objects if not plan.object_names or each.name in plan.object_names]

    async def _faces(self, picture: Picture, deadline: Deadline) -> Any:
        if self._plan.face_card is None:
            return []
        found = await self._images.faces.find(
            picture,
            self._plan.face_card,
            max_results=_MAX_RESULTS,
            min_score=MIN_FACE_SCORE * _WEAK,
            deadline=deadline,
        )
        return found.faces

    async def _lines(self, picture: Picture, deadline: Deadline, *, wanted: bool) -> Any:
        if self._plan.text_card is None or not wanted:
            return None
        text = await self._images.reader.read(
            picture, self._plan.text_card, min_score=_MIN_TEXT_SCORE, deadline=deadline
        )
        return text.lines


def _fitting(targets: list[Target]) -> list[Target]:
    """The same, but the largest that may be smaller so small that preprocessing gives them all."""
    flexible = [target for target in targets if target.fit == "inside"]
    beyond = sum(map(_area, targets)) - _MAX_FRAME_PIXELS
    if beyond <= 0 or not flexible:
        return targets
    largest = max(flexible, key=_area)
    scale = math.sqrt(max(0.0, 1 - beyond / _area(largest)))
    smaller = replace(largest, width=int(largest.width * scale), height=int(largest.height * scale))
    return [smaller if target == largest else target for target in targets]


def _area(target: Target) -> int:
    return target.width * target.height
