"""Finds things on a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import Pixels, Region
from services.vision.pipelines.boxes import Boxes, area, as_region, onto_source, suppress
from services.vision.pipelines.model import ImageModel
from services.vision.pipelines.picture import Picture, model_target

DETECTION = "object-detection"


@dataclass(frozen=True, slots=True)
class Detection:
    """One thing: its class, its probability, and where it is, in fractions of the upright picture."""

    name: str
    score: float
    box: Region


@dataclass(frozen=True, slots=True)
class Detections:
    """What was found on a picture of that size in pixels, best first."""

    objects: list[Detection]
    image_width: int
    image_height: int


@dataclass(frozen=True, slots=True)
class Candidates:
    """Things that a model may have seen, some of them more than once, best first.

    boxes: float32[N, 4] (y_min, x_min, y_max, x_max) on the upright picture. scores: float32[N]. classes: int64[N].
    """

    boxes: Boxes
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]

    def take(self, kept: Sequence[int], labels: Sequence[str]) -> list[Detection]:
        """Those at the given places. labels: the names of the classes."""
        return [
            Detection(labels[self.classes[index]], float(self.scores[index]), as_region(self.boxes[index]))
            for index in kept
        ]


class ObjectDetector(ImageModel):
    """Runs models that give N candidates.

    Outputs: boxes float32[1, N, 4] (y_min, x_min, y_max, x_max), scores float32[1, N] descending, classes int64[1, N].
    """

    async def detect(
        self, picture: Picture, card: ModelCard, *, max_results: int, min_score: float, deadline: Deadline
    ) -> Detections:
        """The things found, best first, each once."""
        (found,) = await self.candidates([picture[model_target(card)]], card, min_score=min_score, deadline=deadline)
        kept = suppress(found.boxes, most=max_results)
        return Detections(found.take(kept, card.labels), picture.width, picture.height)

    async def candidates(
        self, renderings: Sequence[Pixels], card: ModelCard, *, min_score: float, deadline: Deadline
    ) -> list[Candidates]:
        """What the model sees on each rendering made for it."""
        outputs = await self.run_each(
            [rendering.pixels for rendering in renderings], card, ["boxes", "scores", "classes"], deadline
        )
        return [
            _candidates(boxes, scores, classes, rendering.source_region, min_score)
            for (boxes, scores, classes), rendering in zip(outputs, renderings, strict=True)
        ]


def _candidates(
    boxes: Boxes, scores: NDArray[np.float32], classes: NDArray[np.int64], region: Region, min_score: float
) -> Candidates:
    on_picture = onto_source(boxes, region)
    # Where the model's input was filled there is no picture.
    good = (scores >= min_score) & (area(on_picture) > 0)
    return Candidates(on_picture[good], scores[good], classes[good])
