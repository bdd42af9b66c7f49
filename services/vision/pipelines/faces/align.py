"""Cuts faces out of a picture, upright and of the size that a model takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.mesh.models import ModelCard
from services.mesh.ports import Pixels
from services.vision.pipelines.faces.face import Face

# From a point of what is cut out, x + iy in pixels, to one of the picture: a * x + b * y + c, d * x + e * y + f.
_Affine = tuple[float, float, float, float, float, float]


def cut_out(pixels: Pixels, faces: Sequence[Face], cards: Sequence[ModelCard]) -> list[list[NDArray[np.uint8]]]:
    """For each model each face as it takes it, uint8[height, width, 3]; black where a face leaves the picture.

    A card's `preprocess` has width and height, and either `landmarks`, where the five points of a face go (x and y in
    fractions, in the order of Face), or `margin`, the share of the box that is added at each of its sides.
    Takes a core for some milliseconds: not for the event loop.
    """
    image = Image.fromarray(pixels.pixels)
    return [[_cut_out(image, pixels, face, card.preprocess) for face in faces] for card in cards]


def _cut_out(image: Image.Image, pixels: Pixels, face: Face, wanted: Mapping[str, Any]) -> NDArray[np.uint8]:
    size = wanted["width"], wanted["height"]
    return np.asarray(_warped(image, _placed(pixels, face, size, wanted), size))


def _placed(pixels: Pixels, face: Face, size: tuple[int, int], wanted: Mapping[str, Any]) -> _Affine:
    """Where on the rendering the pixels of what is cut out lie."""
    height, width = pixels.pixels.shape[:2]
    region = pixels.source_region
    begin = np.array([region.x_min, region.y_min])
    per_fraction = np.array([width, height]) / ([region.x_max - region.x_min, region.y_max - region.y_min])
    if "landmarks" in wanted:
        template = np.array(wanted["landmarks"]) * size
        return _similarity(template, (face.landmarks - begin) * per_fraction)
    box = face.box
    low = (np.array([box.x_min, box.y_min]) - begin) * per_fraction
    high = (np.array([box.x_max, box.y_max]) - begin) * per_fraction
    centre, extent = (low + high) / 2, (high - low) * (1 + 2 * wanted["margin"])
    (x, y), (left, top) = extent / size, centre - extent / 2
    return float(x), 0.0, float(left), 0.0, float(y), float(top)


def _similarity(template: NDArray[Any], points: NDArray[Any]) -> _Affine:
    """The turn, scale and shift that bring a template nearest to some points, by least squares.

    template, points: float[N, 2], x and y. With x + iy for each, that is one complex factor and one complex shift.
    """
    source, target = (each[:, 0] + 1j * each[:, 1] for each in (template, points))
    spread = source - source.mean()
    factor = np.vdot(spread, target - target.mean()) / np.vdot(spread, spread)
    shift = target.mean() - factor * source.mean()
    return factor.real, -factor.imag, shift.real, factor.imag, factor.real, shift.imag


def _warped(image: Image.Image, affine: _Affine, size: tuple[int, int]) -> Image.Image:
    a, b, c, d, e, f = affine
    corners = [(x, y) for x in (0, size[0]) for y in (0, size[1])]
    left, right = _within([a * x + b * y + c for x, y in corners], image.width)
    top, bottom = _within([d * x + e * y + f for x, y in corners], image.height)
    if left >= right or top >= bottom:
        return Image.new("RGB", size)
    # Bilinear sampling skips pixels when it shrinks, so whatever is larger is brought to the right size before.
    shrinks_by = max(1.0, min(math.hypot(a, d), math.hypot(b, e)))
    part_size = max(1, round((right - left) / shrinks_by)), max(1, round((bottom - top) / shrinks_by))
    part = image.resize(part_size, Image.Resampling.BILINEAR, box=(left, top, right, bottom))
    x, y = part_size[0] / (right - left), part_size[1] / (bottom - top)
    data = (a * x, b * x, (c - left) * x, d * y, e * y, (f - top) * y)
    return part.transform(size, Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)


def _within(places: Sequence[float], length: int) -> tuple[int, int]:
    """The pixels of a picture that these places span, and one more at each side; none where begin is not below end."""
    return max(0, math.floor(min(places)) - 1), min(length, math.ceil(max(places)) + 1)
