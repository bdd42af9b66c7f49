"""Finds the postures of the people on a picture."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import Inference, Pixels, Region, Target
from services.vision.pipelines.detect import ObjectDetector
from services.vision.pipelines.model import ImageModel
from services.vision.pipelines.picture import Picture

POSE = "pose-estimation"
_PERSON = "person"
_MIN_PERSON_SCORE = 0.5
# The detector tells at most so many things, of which the people are taken.
_MAX_OBJECTS = 100
# From this rendering people are cut out, wider and higher than they were found by that share.
_SOURCE = Target(1280, 1280, "inside")
_MARGIN = 0.25
_WHOLE = Region(0, 0, 1, 1)
# A posture on a picture where nobody was found is told from this mean score on.
_MIN_SCORE_OF_WHOLE = 0.3
# Calls that cut people out at the same time; each takes a thread.
_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Pose:
    """The posture of one person.

    keypoints: float32[K, 3]: x and y in fractions of the upright picture, and a score; of COCO's 17 in their order.
    score: their mean. box: the person.
    """

    keypoints: NDArray[np.float32]
    score: float
    box: Region


class PoseEstimator:
    """Runs models with an output `keypoints` float32[N, K, 3] (x and y in fractions of the input, score) on people."""

    def __init__(self, inference: Inference, detector: ObjectDetector) -> None:
        """detector: what finds the people."""
        self._model = ImageModel(inference)
        self._detector = detector
        self._free = asyncio.Semaphore(_AT_ONCE)

    def targets(self, detection_card: ModelCard) -> tuple[Target, ...]:
        """What the detector needs, and what people are cut out from."""
        return (*self._detector.targets(detection_card), _SOURCE)

    async def estimate(
        self, picture: Picture, card: ModelCard, *, detection_card: ModelCard, max_results: int, deadline: Deadline
    ) -> list[Pose]:
        """The postures, that of the surest person first. detection_card: a model that knows the label "person"."""
        found = await self._detector.detect(
            picture, detection_card, max_results=_MAX_OBJECTS, min_score=_MIN_PERSON_SCORE, deadline=deadline
        )
        people = [each.box for each in found.objects if each.name == _PERSON][:max_results]
        boxes, margin = (people, _MARGIN) if people else ([_WHOLE], 0.0)
        wanted = card.preprocess["width"], card.preprocess["height"]
        async with self._free:
            crops = await asyncio.to_thread(_cut_out, picture[_SOURCE], boxes, margin, wanted)
        outputs = await self._model.run_each([crop.pixels for crop in crops], card, ["keypoints"], deadline)
        poses = [
            _pose(keypoints, crop.source_region, box)
            for (keypoints,), crop, box in zip(outputs, crops, boxes, strict=True)
        ]
        return poses if people else [pose for pose in poses if pose.score >= _MIN_SCORE_OF_WHOLE]


def _cut_out(source: Pixels, boxes: Sequence[Region], margin: float, size: tuple[int, int]) -> list[Pixels]:
    """Each box with a margin around it, brought to a width and height without changing its proportions."""
    image = Image.fromarray(source.pixels)
    return [_crop(source, image, box, margin, size) for box in boxes]


def _crop(source: Pixels, image: Image.Image, box: Region, margin: float, size: tuple[int, int]) -> Pixels:
    width, height = image.size
    # The box in pixels of the rendering, grown to the proportions that are wanted.
    across, down = (box.x_max - box.x_min) * width, (box.y_max - box.y_min) * height
    scale = max(across / size[0], down / size[1]) * (1 + margin)
    half_width, half_height = max(1.0, scale * size[0]) / 2, max(1.0, scale * size[1]) / 2
    x, y = (box.x_min + box.x_max) / 2 * width, (box.y_min + box.y_max) / 2 * height
    left, top, right, bottom = (
        round(x - half_width),
        round(y - half_height),
        round(x + half_width),
        round(y + half_height),
    )
    # What lies outside the picture becomes black.
    cut = image.crop((left, top, right, bottom)).resize(size, Image.Resampling.BILINEAR)
    region = Region(left / width, top / height, right / width, bottom / height)
    return Pixels(np.asarray(cut), source.source_width, source.source_height, region)


def _pose(keypoints: NDArray[np.float32], region: Region, box: Region) -> Pose:
    low = np.array([region.x_min, region.y_min], np.float32)
    size = np.array([region.x_max, region.y_max], np.float32) - low
    on_picture = np.concatenate([keypoints[:, :2] * size + low, keypoints[:, 2:]], axis=1)
    return Pose(on_picture, float(keypoints[:, 2].mean()), box)
