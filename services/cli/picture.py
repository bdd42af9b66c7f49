"""Pictures that the commands write. The one module here that imports Pillow."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from pathlib import Path

import typer
from PIL import Image, ImageDraw, ImageFont, ImageOps

from maas.vision.v1.vision_pb2 import DetectedObject

_COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#808000")


def require_format(path: Path) -> None:
    """Refuse, as wrong usage and before anything is called, a file whose ending names no picture format."""
    if path.suffix.lower() not in Image.registered_extensions():
        raise typer.BadParameter(f"{path}: the ending names no picture format; take .jpg or .png")


def save_boxes(photo: bytes, objects: Sequence[DetectedObject], path: Path) -> None:
    """Draw each object's box and name on the upright picture and write it; the ending of the path names the format."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(photo))).convert("RGB")
    pen = ImageDraw.Draw(image)
    size = max(12, min(image.size) // 32)
    line = max(2, size // 6)
    font = ImageFont.load_default(size)
    # The surest last, on top.
    for found in reversed(objects):
        box = found.bounding_box
        left, right = box.x_min * image.width, box.x_max * image.width
        top, bottom = box.y_min * image.height, box.y_max * image.height
        # The same class has the same colour in every picture.
        colour = _COLOURS[zlib.crc32(found.name.encode()) % len(_COLOURS)]
        pen.rectangle((left, top, max(left, right), max(top, bottom)), outline=colour, width=line)
        label = f"{found.name} {found.score:.2f}"
        x_min, _, x_max, y_max = pen.textbbox((0, 0), label, font=font)
        above = max(0, top - y_max - line)
        pen.rectangle((left, above, left + x_max - x_min + 2 * line, above + y_max + line), fill=colour)
        pen.text((left + line, above), label, fill="white", font=font)
    _save(image, path)


def save_pixels(pixels: bytes, width: int, height: int, path: Path) -> None:
    """Write RGB pixels, uint8[height, width, 3], as a picture."""
    _save(Image.frombytes("RGB", (width, height), pixels), path)


def _save(image: Image.Image, path: Path) -> None:
    try:
        image.save(path)
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be written: {error.strerror or error}") from None
