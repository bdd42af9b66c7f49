"""Few boxes instead of many, to cover the same places at least."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services.vision.pipelines.boxes import Boxes, area, overlap

# What preprocessing covers in a call.
MOST = 1000
# The area of all, in pictures: half of what it covers, since it counts whole pixels.
MOST_AREA = 4.0
# Boxes that overlap more than this (intersection over union) are joined; if that is not enough, those of the next.
_OVERLAPS = (0.5, 0.0)


def covering(boxes: Boxes) -> Boxes:
    """At most MOST boxes of at most MOST_AREA in all that cover everything the given ones cover.

    Those inside others go. Are they still too many or too large, what overlaps is joined, the most alike first, and in
    the end neighbours: rather too much is covered than too little. boxes: float32[N, 4] -> float32[M, 4], from the top.
    """
    boxes = _outermost(boxes)
    for least in _OVERLAPS:
        if len(boxes) <= MOST and area(boxes).sum() <= MOST_AREA:
            return boxes
        boxes = _outermost(_joined(boxes, least))
    # Now none overlap, so that their area is the picture's at most.
    while len(boxes) > MOST:
        boxes = _outermost(_joined(_around(boxes, np.arange(0, len(boxes), 2)), 0.0))
    return boxes


def _outermost(boxes: Boxes) -> Boxes:
    """Those that lie inside no other, each once, from the top."""
    boxes = np.unique(boxes, axis=0)
    later = (boxes[:, None, :2] >= boxes[None, :, :2]).all(axis=2)
    inside = later & (boxes[:, None, 2:] <= boxes[None, :, 2:]).all(axis=2)
    np.fill_diagonal(inside, val=False)
    outermost: Boxes = boxes[~inside.any(axis=1)]
    return outermost


def _joined(boxes: Boxes, least: float) -> Boxes:
    """Boxes no two of which overlap more than that."""
    apart = boxes[:0]
    for box in boxes:
        whole = box
        while (same := overlap(whole, apart) > least).any():
            (whole,) = _around(np.concatenate([apart[same], [whole]]), np.array([0]))
            apart = apart[~same]
        apart = np.concatenate([apart, [whole]])
    return apart


def _around(boxes: Boxes, starts: NDArray[np.intp]) -> Boxes:
    """The box around each group of boxes. starts: the index of each group's first."""
    low, high = np.minimum.reduceat(boxes[:, :2], starts), np.maximum.reduceat(boxes[:, 2:], starts)
    around: Boxes = np.concatenate([low, high], axis=1)
    return around
