"""Boxes: float32[4] or float32[N, 4] as y_min, x_min, y_max, x_max in fractions, as models give them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services.mesh.ports import Region

Boxes = NDArray[np.float32]

# Two boxes that overlap more than this (intersection over union) show the same thing.
SAME_THING = 0.5


def suppress(boxes: Boxes, *, most: int | None = None, same_thing: float = SAME_THING) -> list[int]:
    """Class-agnostic greedy non-maximum suppression.

    boxes: float32[N, 4], best first -> the indices of those to keep, best first, `most` at most.
    """
    kept: list[int] = []
    left = np.arange(len(boxes))
    while len(left) and (most is None or len(kept) < most):
        best, left = left[0], left[1:]
        kept.append(int(best))
        left = left[overlap(boxes[best], boxes[left]) <= same_thing]
    return kept


def overlap(box: Boxes, others: Boxes) -> Boxes:
    """Intersection over union. box: float32[4], others: float32[N, 4] -> float32[N]."""
    common = shared(box, others)
    union: Boxes = area(box) + area(others) - common
    share: Boxes = common / np.maximum(union, 1e-9)
    return share


def shared(box: Boxes, others: Boxes) -> Boxes:
    """The area that a box shares with each of others. box: float32[4], others: float32[N, 4] -> float32[N]."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    common: Boxes = np.prod(np.clip(high - low, 0, None), axis=1)
    return common


def area(boxes: Boxes) -> Boxes:
    """float32[..., 4] -> float32[...]."""
    areas: Boxes = np.prod(np.clip(boxes[..., 2:] - boxes[..., :2], 0, None), axis=-1)
    return areas


def onto_source(boxes: Boxes, region: Region) -> Boxes:
    """Boxes on a rendering, in fractions of it, as fractions of the upright picture, cut at its edges.

    region: the part of the picture that the rendering shows. float32[..., 4] -> float32[..., 4].
    """
    low = np.array([region.y_min, region.x_min], np.float32)
    size = np.array([region.y_max, region.x_max], np.float32) - low
    return np.clip(boxes * np.tile(size, 2) + np.tile(low, 2), 0, 1)


def on_source(box: Boxes, region: Region) -> Region:
    """One box on a rendering, float32[4], as a region of the upright picture; see `onto_source`."""
    return as_region(onto_source(box, region))


def as_region(box: Boxes) -> Region:
    """float32[4] as a region."""
    y_min, x_min, y_max, x_max = (float(value) for value in box)
    return Region(x_min, y_min, x_max, y_max)


def as_box(region: Region) -> Boxes:
    """A region as float32[4]."""
    return np.array([region.y_min, region.x_min, region.y_max, region.x_max], np.float32)


def enlarged(region: Region, margin: float) -> Region:
    """A region that is wider and higher by that share of its size, cut at the picture's edges."""
    x, y = (region.x_max - region.x_min) * margin / 2, (region.y_max - region.y_min) * margin / 2
    return Region(
        max(0.0, region.x_min - x), max(0.0, region.y_min - y), min(1.0, region.x_max + x), min(1.0, region.y_max + y)
    )
