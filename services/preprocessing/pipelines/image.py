"""Opens a picture that a stranger sent, and brings it to the size that a model takes."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, GifImagePlugin, Image, ImageFile, JpegImagePlugin, TiffImagePlugin

from services.mesh import errors
from services.mesh.ports import Fit, Pixels
from services.preprocessing.pipelines.geometry import Box, Plan, plan

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
FIELD = "image.content"

MAX_BYTES = 20 * 1024 * 1024
MAX_PIXELS = 50_000_000
MAX_SIDE = 16_384
# What an answer can carry: 48 MiB of pixels.
MAX_ANSWER_PIXELS = 4096 * 4096
# A progressive JPEG has some ten scans. Each costs a pass over all pixels, so thousands would keep a core for minutes.
MAX_JPEG_SCANS = 100

# A JPEG may be decoded at 1/2, 1/4 or 1/8 as long as so many pixels are left for each one wanted, along each side.
_DRAFT_PIXELS = 2
# Pillow may average whole pixels first as long as so many are left for each one wanted; nearly as good as without.
_REDUCING_GAP = 3.0

_QUARTER_TURNED = {5, 6, 7, 8}
# The turn that makes a picture upright, by its EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TIFF_TILE_SIDES = (322, 323)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as a model takes it, and the format in which it came, one of FORMATS."""

    pixels: Pixels
    source_format: str


def transform(content: bytes, *, width: int, height: int, fit: Fit, crop_fraction: float) -> Picture:
    """Decode, turn upright, scale and crop; of an animation the first frame.

    width, height: 0 and 0 for the picture's own.
    crop_fraction: with "cover", the share of the largest centred crop that is used, above 0 to 1.
    The answer is RGB: transparency is laid on white, 16 bits a channel become 8, colour profiles are not applied.
    Raises InvalidArgument for anything that is not a sound picture within the limits above, and when the picture's own
    size is asked for and is more than MAX_ANSWER_PIXELS.
    """
    image = _open(content)
    turn = _turn(image)
    turned = turn in _QUARTER_TURNED
    source = _swapped(image.size, turned=turned)
    wanted = (width, height) if width else source
    if wanted[0] * wanted[1] > MAX_ANSWER_PIXELS:
        raise errors.InvalidArgument.field(
            "width", f"is required for a picture of {source[0]} x {source[1]}, which is too large to be sent whole"
        )
    planned = plan(source, wanted, fit, crop_fraction)
    image_format = "JPEG" if image.format == "MPO" else str(image.format)
    scaled = _scaled(image, planned, turned=turned)
    upright = scaled.transpose(_TURNS[turn]) if turn in _TURNS else scaled
    pixels = Pixels(np.asarray(_on_canvas(upright, planned)), *source, planned.region)
    return Picture(pixels, image_format)


def _open(content: bytes) -> ImageFile.ImageFile:
    """The picture with its header read and within the limits; no pixel is decoded yet."""
    if not 1 <= len(content) <= MAX_BYTES:
        raise errors.InvalidArgument.field(FIELD, f"takes 1 to {MAX_BYTES} bytes, got {len(content)}")
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError:
        raise _too_large() from None
    except Exception:  # noqa: BLE001 - hostile bytes make Pillow raise struct.error, KeyError, OverflowError and others
        raise errors.InvalidArgument.field(FIELD, f"is none of {', '.join(FORMATS)}, or damaged") from None
    width, height = image.size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise _too_large()
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # libtiff takes memory for whole tiles, whatever the size of the picture.
        sides = [int(image.tag_v2.get(tag, 0)) for tag in _TIFF_TILE_SIDES]
        if max(sides) > MAX_SIDE or sides[0] * sides[1] > MAX_PIXELS:
            raise _too_large()
    if isinstance(image, JpegImagePlugin.JpegImageFile) and _scans(content) > MAX_JPEG_SCANS:
        raise errors.InvalidArgument.field(FIELD, f"takes a JPEG of at most {MAX_JPEG_SCANS} scans")
    return image


def _scans(content: bytes) -> int:
    """How often the marker FF DA, which begins a scan, is in a JPEG."""
    # bytes.count takes twice as long.
    array = np.frombuffer(content, np.uint8)
    marks = np.flatnonzero(array[:-1] == 0xFF)  # noqa: PLR2004 - as the sentence above says
    return int(np.count_nonzero(array[marks + 1] == 0xDA))  # noqa: PLR2004


def _too_large() -> errors.InvalidArgument:
    return errors.InvalidArgument.field(
        FIELD, f"takes at most {MAX_PIXELS // 1_000_000} megapixels and {MAX_SIDE} pixels a side"
    )


def _turn(image: ImageFile.ImageFile) -> int:
    """The EXIF orientation that is still to be applied, 1 for upright. Broken EXIF data counts as none."""
    if isinstance(image, TiffImagePlugin.TiffImageFile | GifImagePlugin.GifImageFile):
        return 1  # Pillow turns TIFF upright itself, and GIF knows no orientation.
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - as in `_open`; a broken note about a picture does not make the picture bad
        return 1


def _scaled(image: ImageFile.ImageFile, planned: Plan, *, turned: bool) -> Image.Image:
    """The wanted part at the wanted size, RGB, not yet upright."""
    size = _swapped((planned.width, planned.height), turned=turned)
    # The box is the whole picture or lies in its middle, so a mirrored or half-turned picture has the same one.
    left, top, right, bottom = planned.box
    box = (top, left, bottom, right) if turned else planned.box
    decoded, scale = _decode(image, planned.shrinks_by)
    limits = (*decoded.size, *decoded.size)
    box = (box[0] / scale, box[1] / scale, min(box[2] / scale, limits[0]), min(box[3] / scale, limits[1]))
    return _rgb(_resized(_plain(decoded), size, box))


def _decode(image: ImageFile.ImageFile, shrinks_by: float) -> tuple[Image.Image, float]:
    """The pixels, and the scale at which they were decoded: 1, 2, 4 or 8 source pixels for one."""
    scale = 1.0
    full_width = image.width
    try:
        if shrinks_by > _DRAFT_PIXELS:
            kept = tuple(max(1, int(side * _DRAFT_PIXELS / shrinks_by) + 1) for side in image.size)
            draft = image.draft(None, (kept[0], kept[1]))
            if draft is not None:
                scale = full_width / draft[1][2]
        image.load()
    except Exception:  # noqa: BLE001 - as in `_open`
        raise errors.InvalidArgument.field(FIELD, "is damaged or incomplete") from None
    return image, scale


def _resized(image: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
    if size == image.size and box == (0, 0, *image.size):
        return image
    return image.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=_REDUCING_GAP)


def _plain(image: Image.Image) -> Image.Image:
    """The picture in a mode whose pixels may be averaged, transparency kept."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in {"I", "F"}:
        raise errors.InvalidArgument.field(FIELD, "has 32 bits a pixel, for which black and white are not defined")
    if image.has_transparency_data:
        return image if image.mode in {"RGBA", "LA"} else image.convert("RGBA")
    if image.mode in {"1", "P"}:
        return image.convert("L" if image.mode == "1" else "RGB")
    return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in {"RGBA", "LA"}:
        on_white = Image.new("RGB", image.size, "white")
        on_white.paste(image.convert("RGB"), mask=image.getchannel("A"))
        return on_white
    return image if image.mode == "RGB" else image.convert("RGB")


def _on_canvas(image: Image.Image, planned: Plan) -> Image.Image:
    if image.size == (planned.canvas_width, planned.canvas_height):
        return image
    canvas = Image.new("RGB", (planned.canvas_width, planned.canvas_height))
    canvas.paste(image)
    return canvas


def _swapped(size: tuple[int, int], *, turned: bool) -> tuple[int, int]:
    return (size[1], size[0]) if turned else size
