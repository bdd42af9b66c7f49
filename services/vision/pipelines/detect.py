"""Finds things on a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import Region
from services.vision.pipelines.image import ImageModel

# Two boxes that overlap more than this (intersection over union) show the same thing.
SAME_THING = 0.5


@dataclass(frozen=True, slots=True)
class Detection:
    """One thing: its class, its probability, and where it is, in fractions of the upright picture."""

    name: str
    score: float
    box: Region


@dataclass(frozen=True, slots=True)
class Detections:
    """What was found on a picture of that size in pixels."""

    objects: list[Detection]
    image_width: int
    image_height: int


class ObjectDetector(ImageModel):
    """Runs models that give N candidates.

    Outputs: boxes float32[1, N, 4] (y_min, x_min, y_max, x_max), scores float32[1, N] descending, classes int64[1, N].
    """

    async def detect(
        self, content: bytes, card: ModelCard, *, max_results: int, min_score: float, deadline: Deadline
    ) -> Detections:
        """The things found, best first, each once."""
        pixels, (boxes, scores, classes) = await self.run(content, card, ["boxes", "scores", "classes"], deadline)
        confident = int(np.count_nonzero(scores >= min_score))
        kept = suppress(boxes[:confident])[:max_results]
        region = pixels.source_region
        return Detections(
            [
                Detection(card.labels[classes[index]], float(scores[index]), _on_source(boxes[index], region))
                for index in kept
            ],
            pixels.source_width,
            pixels.source_height,
        )


def suppress(boxes: NDArray[np.float32]) -> list[int]:
    """Class-agnostic greedy non-maximum suppression.

    boxes: float32[N, 4] (y_min, x_min, y_max, x_max), best first -> the indices of those to keep, best first.
    """
    kept: list[int] = []
    for index in range(len(boxes)):
        if not kept or _overlap(boxes[index], boxes[kept]).max() <= SAME_THING:
            kept.append(index)
    return kept


def _overlap(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union. box: float32[4], others: float32[N, 4] -> float32[N]."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    union = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - shared
    overlap: NDArray[np.float32] = shared / np.maximum(union, 1e-9)
    return overlap


def _on_source(box: NDArray[np.float32], region: Region) -> Region:
    """A box on the model's input, in fractions of it, as fractions of the upright picture, cut at its edges."""
    y_min, x_min, y_max, x_max = (float(value) for value in box)
    width, height = region.x_max - region.x_min, region.y_max - region.y_min
    return Region(
        _clip(region.x_min + x_min * width),
        _clip(region.y_min + y_min * height),
        _clip(region.x_min + x_max * width),
        _clip(region.y_min + y_max * height),
    )


def _clip(value: float) -> float:
    return min(1.0, max(0.0, value))
