"""Opens a picture that a stranger sent, within limits that hold before a pixel is decoded."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, GifImagePlugin, Image, ImageFile, JpegImagePlugin, TiffImagePlugin

from services.mesh import errors
from services.preprocessing.pipelines.geometry import QUARTER_TURNED, Size
from services.preprocessing.pipelines.image.parts import MAX_EXIF_BYTES, TooManyParts, check_parts

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
FIELD = "image.content"

MAX_BYTES = 20 * 1024 * 1024
MAX_PIXELS = 50_000_000
MAX_SIDE = 16_384
# A progressive JPEG has some ten scans. Each costs a pass over all pixels, so thousands would keep a core for minutes,
# and a hundred of the largest picture for 15 seconds.
MAX_JPEG_SCANS = 100
_MAX_SCANNED_PIXELS = 30 * MAX_PIXELS

# A JPEG may be decoded at 1/2, 1/4 or 1/8 as long as so many pixels are left for each one wanted, along each side.
_DRAFT_PIXELS = 2
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
class Opened:
    """A picture whose header was read: nothing of it is decoded yet.

    size: width and height in pixels, upright. turn: its EXIF orientation, 1 to 8. source_format: one of FORMATS.
    """

    file: ImageFile.ImageFile
    size: Size
    turn: int
    source_format: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """The pixels of a picture, not yet upright, in a mode whose pixels may be averaged.

    size: width and height of the picture in pixels, upright. turn: its EXIF orientation, 1 to 8.
    scale: source pixels for one of `image`, along each side: 1, or up to 8 when it was decoded smaller.
    """

    image: Image.Image
    size: Size
    turn: int = 1
    scale: float = 1.0


def open_picture(content: bytes) -> Opened:
    """Read the header. Raises InvalidArgument for what is no picture, or one beyond the limits above."""
    if not 1 <= len(content) <= MAX_BYTES:
        raise errors.InvalidArgument.field(FIELD, f"takes 1 to {MAX_BYTES} bytes, got {len(content)}")
    try:
        check_parts(content)
    except TooManyParts as error:
        raise errors.InvalidArgument.field(FIELD, str(error)) from None
    try:
        file = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError:
        raise _too_large() from None
    except Exception:  # noqa: BLE001 - hostile bytes make Pillow raise struct.error, KeyError, OverflowError and others
        raise errors.InvalidArgument.field(FIELD, f"is none of {', '.join(FORMATS)}, or damaged") from None
    width, height = file.size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise _too_large()
    if isinstance(file, TiffImagePlugin.TiffImageFile):
        # libtiff takes memory for whole tiles, whatever the size of the picture.
        sides = [int(file.tag_v2.get(tag, 0)) for tag in _TIFF_TILE_SIDES]
        if max(sides) > MAX_SIDE or sides[0] * sides[1] > MAX_PIXELS:
            raise _too_large()
    if isinstance(file, JpegImagePlugin.JpegImageFile):
        most = min(MAX_JPEG_SCANS, _MAX_SCANNED_PIXELS // (width * height))
        if _scans(content) > most:
            raise errors.InvalidArgument.field(FIELD, f"takes a JPEG of this size of at most {most} scans")
    turn = _turn(file)
    size = (height, width) if turn in QUARTER_TURNED else (width, height)
    return Opened(file, size, turn, "JPEG" if file.format == "MPO" else str(file.format))


def decode(opened: Opened, *, shrinks_by: float = 1.0) -> Decoded:
    """The pixels; of an animation the first frame.

    shrinks_by: so many source pixels become one along the side that shrinks least; a JPEG may be decoded smaller then.
    Raises InvalidArgument for damaged pictures, and for those of 32 bits a pixel.
    """
    file = opened.file
    scale = 1.0
    full_width = file.width
    try:
        if shrinks_by > _DRAFT_PIXELS:
            kept = tuple(max(1, int(side * _DRAFT_PIXELS / shrinks_by) + 1) for side in file.size)
            draft = file.draft(None, (kept[0], kept[1]))
            if draft is not None:
                scale = full_width / draft[1][2]
        file.load()
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - as in `open_picture`
        raise errors.InvalidArgument.field(FIELD, "is damaged or incomplete") from None
    return Decoded(_plain(file), opened.size, opened.turn, scale)


def upright(image: Image.Image, turn: int) -> Image.Image:
    """A picture as its EXIF orientation says it is to be seen."""
    return image.transpose(_TURNS[turn]) if turn in _TURNS else image


def rgb(image: Image.Image) -> Image.Image:
    """The picture in RGB, its transparency laid on white."""
    if image.mode in {"RGBA", "LA"}:
        on_white = Image.new("RGB", image.size, "white")
        on_white.paste(image.convert("RGB"), mask=image.getchannel("A"))
        return on_white
    return image if image.mode == "RGB" else image.convert("RGB")


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


def _turn(file: ImageFile.ImageFile) -> int:
    """The EXIF orientation that is still to be applied, 1 for upright. Broken EXIF data counts as none."""
    if isinstance(file, TiffImagePlugin.TiffImageFile | GifImagePlugin.GifImageFile):
        return 1  # Pillow turns TIFF upright itself, and GIF knows no orientation.
    if len(file.info.get("exif", b"")) > MAX_EXIF_BYTES:
        return 1
    try:
        turn = int(file.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - as in `open_picture`; a broken note about a picture does not make the picture bad
        return 1
    return turn if turn in _TURNS else 1


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
