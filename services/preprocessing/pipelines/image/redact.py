"""Covers places on a picture, so that what is there cannot be made out, and leaves everything else as it is."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

from PIL import Image

from services.mesh import errors
from services.mesh.ports import EncodedImage, Redaction, Region
from services.preprocessing.pipelines.geometry import Size
from services.preprocessing.pipelines.image.opened import FIELD, decode, open_picture, rgb, upright

MAX_ANSWER_BYTES = 40 * 1024 * 1024
# Places may lie on each other; each is painted, so that a thousand as large as the picture would take minutes.
MAX_TIMES_COVERED = 8
# In pixels; what is no more than this is soon painted, however small the picture.
ALWAYS_COVERED = 32 * 1024 * 1024

_JPEG_QUALITY = 92
# zlib's own default takes three times as long and saves a few per cent.
_PNG_LEVEL = 3
# Squares, or blots, along the longer side of a place: too few to tell a face or a line of text by.
_SQUARES = 5
# In pixels. A place that is itself hardly larger becomes a single square.
_SMALLEST_SQUARE = 8

PixelBox = tuple[int, int, int, int]


def redact(content: bytes, regions: Sequence[Region], *, method: Redaction) -> EncodedImage:
    """The upright picture at its full size with those places covered, without metadata.

    regions: inside the picture; each is covered out to whole pixels. A JPEG stays one, other formats become PNG, and of
    an animation the first frame is taken.
    Raises InvalidArgument for anything that is not a sound picture within the limits of `opened`, when the regions
    cover it more than MAX_TIMES_COVERED times and ALWAYS_COVERED pixels, and when the answer would be larger than
    MAX_ANSWER_BYTES.
    """
    opened = open_picture(content)
    boxes = [_box(region, opened.size) for region in regions]
    covered = sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)
    if covered > max(ALWAYS_COVERED, MAX_TIMES_COVERED * math.prod(opened.size)):
        raise errors.InvalidArgument.field(
            "regions", f"takes places of at most {MAX_TIMES_COVERED} times the picture's own area in all"
        )
    decoded = decode(opened)
    image = decoded.image if decoded.image.mode in {"L", "LA", "RGB", "RGBA"} else rgb(decoded.image)
    image = upright(image, decoded.turn)
    image.info.clear()  # Pillow would write comments and colour profiles from there.
    for box in boxes:
        _cover(image, box, method)
    return _encoded(image, jpeg=opened.source_format == "JPEG")


def _box(region: Region, size: Size) -> PixelBox:
    """Left, top, right and bottom in pixels, rounded outwards."""
    width, height = size
    return (
        math.floor(region.x_min * width),
        math.floor(region.y_min * height),
        math.ceil(region.x_max * width),
        math.ceil(region.y_max * height),
    )


def _cover(image: Image.Image, box: PixelBox, method: Redaction) -> None:
    left, top, right, bottom = box
    size = (right - left, bottom - top)
    if method == "fill":
        image.paste("black", box)
        return
    square = max(_SMALLEST_SQUARE, max(size) / _SQUARES)
    few = (max(1, round(size[0] / square)), max(1, round(size[1] / square)))
    mean = image.resize(few, Image.Resampling.BOX, box=box)
    enlarge = Image.Resampling.NEAREST if method == "pixelate" else Image.Resampling.BICUBIC
    image.paste(mean.resize(size, enlarge), box)


def _encoded(image: Image.Image, *, jpeg: bool) -> EncodedImage:
    file = _Bounded()
    if jpeg:
        image.save(file, "JPEG", quality=_JPEG_QUALITY)
    else:
        image.save(file, "PNG", compress_level=_PNG_LEVEL)
    return EncodedImage(file.getvalue(), "image/jpeg" if jpeg else "image/png")


class _Bounded(io.BytesIO):
    """A file in memory that refuses to grow beyond what an answer can carry."""

    def write(self, data: bytes) -> int:  # type: ignore[override] # Pillow writes bytes
        if self.tell() + len(data) > MAX_ANSWER_BYTES:
            raise errors.InvalidArgument.field(
                FIELD, f"would be larger than {MAX_ANSWER_BYTES} bytes as a redacted PNG; send a JPEG, or a smaller one"
            )
        return super().write(data)
