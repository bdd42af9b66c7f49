"""Finds small things on large pictures, by looking at them piece by piece as well."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import Pixels, Preprocessor, Region
from services.mesh.together import together
from services.vision.pipelines.boxes import area, as_box, shared, suppress
from services.vision.pipelines.detect import Candidates, Detections, ObjectDetector
from services.vision.pipelines.picture import model_target, open_picture

TILE_PIXELS = 600
OVERLAP = 0.2
MAX_TILES = 24
# What preprocessing renders in one call.
_MAX_PIXELS = 16_777_216
# A box so near to the border of its tile, in fractions of the tile, may be a piece of something larger.
_AT_BORDER = 0.03
# A piece that lies inside a larger box by more than this share of its own area shows the same thing.
_INSIDE = 0.7


class TiledDetector:
    """Detects objects on a picture as a whole and in tiles."""

    def __init__(self, detector: ObjectDetector, preprocessor: Preprocessor) -> None:
        self._detector = detector
        self._preprocessor = preprocessor

    async def detect(
        self, content: bytes, card: ModelCard, *, max_results: int, min_score: float, deadline: Deadline
    ) -> Detections:
        """The things found, best first, each once. The first rendering tells how large the picture is."""
        target = model_target(card)
        whole = await open_picture(self._preprocessor, content, [target], deadline)
        regions = tiles(whole.width, whole.height, most=min(MAX_TILES, _MAX_PIXELS // (target.width * target.height)))

        async def seen(renderings: Sequence[Pixels]) -> list[Candidates]:
            return await self._detector.candidates(renderings, card, min_score=min_score, deadline=deadline)

        async def seen_in_tiles() -> list[Candidates]:
            if not regions:
                return []
            wanted = [replace(target, region=region) for region in regions]
            pieces = await open_picture(self._preprocessor, content, wanted, deadline)
            return await seen([pieces[each] for each in wanted])

        (at_once,), in_tiles = await together([seen([whole[target]]), seen_in_tiles()])
        found = await asyncio.to_thread(_merged, at_once, in_tiles, regions)
        kept = suppress(found.boxes, most=max_results)
        return Detections(found.take(kept, card.labels), whole.width, whole.height)


def tiles(width: int, height: int, *, most: int = MAX_TILES) -> list[Region]:
    """Where the tiles lie on a picture of that size in pixels, row by row; none where one would be the whole.

    Tiles of TILE_PIXELS a side, larger where there would be more than `most`, that overlap by a fifth or more.
    """
    side = TILE_PIXELS
    while _count(width, side) * _count(height, side) > most:
        side = ceil(side * 1.05)
    columns, rows = _spans(width, side), _spans(height, side)
    if len(columns) * len(rows) == 1:
        return []
    return [Region(left, top, right, bottom) for top, bottom in rows for left, right in columns]


def _count(length: int, side: int) -> int:
    return 1 if length <= side else 1 + ceil((length - side) / (side * (1 - OVERLAP)))


def _spans(length: int, side: int) -> list[tuple[float, float]]:
    """Begin and end of the tiles along one side, in fractions, evenly spread."""
    share = min(1.0, side / length)
    return [(float(begin), float(begin) + share) for begin in np.linspace(0, 1 - share, _count(length, side))]


def _merged(whole: Candidates, in_tiles: Sequence[Candidates], regions: Sequence[Region]) -> Candidates:
    """All candidates, best first, without the pieces of what is seen larger elsewhere."""
    found = [whole, *in_tiles]
    cut = [np.zeros(len(whole.scores), bool), *map(_cut, in_tiles, regions)]
    boxes = np.concatenate([each.boxes for each in found])
    pieces = np.concatenate(cut)
    areas = area(boxes)
    for piece in np.flatnonzero(pieces):
        larger = areas > areas[piece]
        pieces[piece] = bool((shared(boxes[piece], boxes[larger]) > _INSIDE * areas[piece]).any())
    scores = np.concatenate([each.scores for each in found])
    order = np.argsort(-scores, kind="stable")
    order = order[~pieces[order]]
    classes = np.concatenate([each.classes for each in found])
    return Candidates(boxes[order], scores[order], classes[order])


def _cut(found: Candidates, region: Region) -> NDArray[np.bool_]:
    """Which boxes end where their tile does, but the picture does not: bool[N]."""
    tile = as_box(region)
    near = _AT_BORDER * np.tile(tile[2:] - tile[:2], 2)
    inner = (tile > 0) & (tile < 1)
    at_border: NDArray[np.bool_] = ((np.abs(found.boxes - tile) <= near) & inner).any(axis=1)
    return at_border
