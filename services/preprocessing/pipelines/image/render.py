"""Brings a picture, or parts of it, to the sizes that models take; it is decoded once for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from services.mesh import errors
from services.mesh.ports import Fit, Pixels, Target
from services.preprocessing.pipelines.geometry import QUARTER_TURNED, Box, Plan, Size, plan, stored_box
from services.preprocessing.pipelines.image.checks import MAX_ANSWER_PIXELS
from services.preprocessing.pipelines.image.opened import Decoded, decode, open_picture, rgb, upright

# Pillow may average whole pixels first as long as so many are left for each one wanted; nearly as good as without.
_REDUCING_GAP = 3.0


@dataclass(frozen=True, slots=True)
class Rendering:
    """A picture as models take it, once for each target, and the format in which it came, one of opened.FORMATS."""

    renderings: list[Pixels]
    source_width: int
    source_height: int
    source_format: str


def render(content: bytes, targets: Sequence[Target]) -> Rendering:
    """Decode a picture once, and turn it upright, cut and scale it for each target; of an animation the first frame.

    The pixels are RGB: transparency is laid on white, 16 bits a channel become 8, colour profiles are not applied.
    A JPEG is decoded as small as the most demanding target allows.
    Raises InvalidArgument for anything that is not a sound picture within the limits of `opened`.
    """
    opened = open_picture(content)
    plans = [plan(opened.size, target) for target in targets]
    decoded = decode(opened, shrinks_by=min(each.shrinks_by for each in plans))
    return Rendering([rendered(decoded, each) for each in plans], *opened.size, opened.source_format)


def transform(content: bytes, *, width: int, height: int, fit: Fit, crop_fraction: float) -> Rendering:
    """As `render` for one target; a width and height of 0 stand for the picture's own.

    Also raises InvalidArgument when that is more than MAX_ANSWER_PIXELS.
    """
    size = (width, height)
    if size == (0, 0):
        size = open_picture(content).size
        if size[0] * size[1] > MAX_ANSWER_PIXELS:
            raise errors.InvalidArgument.field(
                "width", f"is required for a picture of {size[0]} x {size[1]}, which is too large to be sent whole"
            )
    return render(content, [Target(*size, fit, crop_fraction)])


def rendered(decoded: Decoded, planned: Plan) -> Pixels:
    """What `render` makes of a decoded picture for one plan."""
    box = stored_box(planned.box, decoded.size, decoded.turn)
    left, top, right, bottom = (side / decoded.scale for side in box)
    # A picture decoded at reduced scale has its last column and row rounded.
    most_right, most_bottom = decoded.image.size
    box = (max(0.0, left), max(0.0, top), min(right, most_right), min(bottom, most_bottom))
    size = (planned.width, planned.height)
    if decoded.turn in QUARTER_TURNED:
        size = (planned.height, planned.width)
    image = upright(rgb(_resized(decoded.image, size, box)), decoded.turn)
    return Pixels(np.asarray(_on_canvas(image, planned)), *decoded.size, planned.region)


def _resized(image: Image.Image, size: Size, box: Box) -> Image.Image:
    if size == image.size and box == (0, 0, *image.size):
        return image
    return image.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=_REDUCING_GAP)


def _on_canvas(image: Image.Image, planned: Plan) -> Image.Image:
    if image.size == (planned.canvas_width, planned.canvas_height):
        return image
    canvas = Image.new("RGB", (planned.canvas_width, planned.canvas_height))
    canvas.paste(image)
    return canvas
