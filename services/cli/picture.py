"""Pictures that the commands write. Beside services.cli.sheet the one module here that imports Pillow."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer
from PIL import Image, ImageDraw, ImageFont, ImageOps

from maas.type.v1.media_pb2 import BoundingBox, Point
from maas.vision.v1 import face_pb2, image_pb2
from maas.vision.v1.vision_pb2 import DetectedObject, ImageAnnotation

_COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#808000")
# Keypoints below it are guesses and are not drawn.
_SURE = 0.3
_P = image_pb2.BodyPart
_BONES = (
    (_P.BODY_PART_LEFT_SHOULDER, _P.BODY_PART_RIGHT_SHOULDER),
    (_P.BODY_PART_LEFT_SHOULDER, _P.BODY_PART_LEFT_ELBOW),
    (_P.BODY_PART_LEFT_ELBOW, _P.BODY_PART_LEFT_WRIST),
    (_P.BODY_PART_RIGHT_SHOULDER, _P.BODY_PART_RIGHT_ELBOW),
    (_P.BODY_PART_RIGHT_ELBOW, _P.BODY_PART_RIGHT_WRIST),
    (_P.BODY_PART_LEFT_SHOULDER, _P.BODY_PART_LEFT_HIP),
    (_P.BODY_PART_RIGHT_SHOULDER, _P.BODY_PART_RIGHT_HIP),
    (_P.BODY_PART_LEFT_HIP, _P.BODY_PART_RIGHT_HIP),
    (_P.BODY_PART_LEFT_HIP, _P.BODY_PART_LEFT_KNEE),
    (_P.BODY_PART_LEFT_KNEE, _P.BODY_PART_LEFT_ANKLE),
    (_P.BODY_PART_RIGHT_HIP, _P.BODY_PART_RIGHT_KNEE),
    (_P.BODY_PART_RIGHT_KNEE, _P.BODY_PART_RIGHT_ANKLE),
    (_P.BODY_PART_NOSE, _P.BODY_PART_LEFT_EYE),
    (_P.BODY_PART_NOSE, _P.BODY_PART_RIGHT_EYE),
    (_P.BODY_PART_LEFT_EYE, _P.BODY_PART_LEFT_EAR),
    (_P.BODY_PART_RIGHT_EYE, _P.BODY_PART_RIGHT_EAR),
)


def require_format(path: Path) -> None:
    """Refuse, as wrong usage and before anything is called, a file whose ending names no picture format."""
    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        raise typer.BadParameter(f"{path}: the ending names no picture format; take .jpg or .png")


class Canvas:
    """A picture on which things are drawn, at places in fractions of it."""

    def __init__(self, image: Image.Image) -> None:
        """image: RGB, upright."""
        self.image = image
        self._pen = ImageDraw.Draw(image)
        size = max(12, min(image.size) // 32)
        self._line = max(2, size // 6)
        self._font = ImageFont.load_default(size)

    def objects(self, found: Sequence[DetectedObject]) -> None:
        """Boxes with names; the surest last, on top."""
        for each in reversed(found):
            self.box(each.bounding_box, f"{each.name} {each.score:.2f}", each.name)

    def faces(self, found: Sequence[face_pb2.Face]) -> None:
        """Boxes with what is known of each, and the five points."""
        for each in reversed(found):
            words = [f"{each.age_years:.0f}"] if each.HasField("age_years") else []
            words += [expression.name for expression in each.expressions[:1]]
            self.box(each.bounding_box, " ".join(words) or f"{each.score:.2f}", "face")
            marks = each.landmarks
            for point in (marks.left_eye, marks.right_eye, marks.nose, marks.mouth_left, marks.mouth_right):
                self._dot(point, "white")

    def lines(self, found: Sequence[image_pb2.TextLine]) -> None:
        """The four corners of each line, joined, and its number in reading order."""
        for number, each in enumerate(found, 1):
            colour = _COLOURS[number % len(_COLOURS)]
            corners = [self._at(corner) for corner in each.corners]
            if not corners:
                continue
            self._pen.line([*corners, corners[0]], fill=colour, width=self._line)
            self._pen.text(corners[0], str(number), fill=colour, font=self._font, anchor="rb")

    def poses(self, found: Sequence[image_pb2.Pose]) -> None:
        """Bones and points that are sure."""
        for number, each in enumerate(found):
            colour = _COLOURS[number % len(_COLOURS)]
            sure = {point.body_part: point.position for point in each.keypoints if point.score >= _SURE}
            for one, other in _BONES:
                if one in sure and other in sure:
                    self._pen.line([self._at(sure[one]), self._at(sure[other])], fill=colour, width=self._line + 1)
            for position in sure.values():
                self._dot(position, "white")

    def mask(self, found: image_pb2.PersonMask) -> None:
        """People as they are, the rest grey and dark."""
        shown = Image.open(io.BytesIO(found.png)).convert("L").resize(self.image.size)
        rest = self.image.convert("L").point(lambda level: level // 2).convert("RGB")
        self.image.paste(Image.composite(self.image, rest, shown))

    def annotation(self, found: ImageAnnotation) -> None:
        """Everything that has a place."""
        if found.HasField("person_mask"):
            self.mask(found.person_mask)
        self.objects(found.objects)
        self.lines(found.text_lines)
        self.faces(found.faces)
        self.poses(found.poses)

    def box(self, box: BoundingBox, label: str, kind: str) -> None:
        """A rectangle with words on it. kind: what is the same has the same colour, in every picture."""
        left, right = box.x_min * self.image.width, box.x_max * self.image.width
        top, bottom = box.y_min * self.image.height, box.y_max * self.image.height
        colour, line = _COLOURS[zlib.crc32(kind.encode()) % len(_COLOURS)], self._line
        self._pen.rectangle((left, top, max(left, right), max(top, bottom)), outline=colour, width=line)
        x_min, _, x_max, y_max = self._pen.textbbox((0, 0), label, font=self._font)
        above = max(0, top - y_max - line)
        self._pen.rectangle((left, above, left + x_max - x_min + 2 * line, above + y_max + line), fill=colour)
        self._pen.text((left + line, above), label, fill="white", font=self._font)

    def _dot(self, point: Point, colour: str) -> None:
        x, y = self._at(point)
        size = self._line + 1
        self._pen.ellipse((x - size, y - size, x + size, y + size), fill=colour, outline="black")

    def _at(self, point: Point) -> tuple[float, float]:
        return point.x * self.image.width, point.y * self.image.height


@contextmanager
def drawn_on(photo: bytes, path: Path) -> Iterator[Canvas]:
    """The upright picture to draw on; at the end of the block it is written, as the path's ending says."""
    canvas = Canvas(ImageOps.exif_transpose(Image.open(io.BytesIO(photo))).convert("RGB"))
    yield canvas
    save_image(canvas.image, path)


def save_pixels(pixels: bytes, width: int, height: int, path: Path) -> None:
    """Write RGB pixels, uint8[height, width, 3], as a picture."""
    save_image(Image.frombytes("RGB", (width, height), pixels), path)


def save_image(image: Image.Image, path: Path) -> None:
    """Write a picture. A path that cannot be written is wrong usage."""
    try:
        image.save(path)
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be written: {error.strerror or error}") from None
