"""Reads the writing on a picture."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import atan2, degrees
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import Inference, Region, Target
from services.vision.pipelines.picture import Picture, model_target
from services.vision.pipelines.reading_order import reading_order, turned_upright

READING = "text-recognition"
# Pages whose lines are put in order at the same time; each takes a thread.
_AT_ONCE = 2
# A page of small print has some hundred lines.
_MAX_LINES = 2000

Point = tuple[float, float]
Fraction = Annotated[float, Field(ge=-1, le=2, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line: what it says, how sure the model is (0..1), where it is, and by how much it is turned clockwise.

    corners: top left, top right, bottom right, bottom left as it is read, x and y in fractions of the upright picture.
    """

    text: str
    score: float
    corners: tuple[Point, Point, Point, Point]
    box: Region
    orientation_degrees: float


@dataclass(frozen=True, slots=True)
class Text:
    """The lines on a picture of that size in pixels, in reading order."""

    lines: list[TextLine]
    image_width: int
    image_height: int


class _Line(BaseModel):
    """A line as the model writes it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    text: str
    score: float = Field(ge=0, le=1)
    corners: list[tuple[Fraction, Fraction]] = Field(min_length=4, max_length=4)


_LINES = TypeAdapter(Annotated[list[_Line], Field(max_length=_MAX_LINES)])


class TextReader:
    """Runs models that take `images` uint8[H, W, 3] of any size, and have an output `lines` bytes[1]: JSON.

    A list of {"text": str, "score": 0..1, "corners": [[x, y] * 4]}, corners in fractions of the input. The text
    is empty where there is writing that the model cannot read.
    """

    def __init__(self, inference: Inference) -> None:
        self._inference = inference
        self._free = asyncio.Semaphore(_AT_ONCE)

    def targets(self, card: ModelCard) -> tuple[Target, ...]:
        """What a picture must be rendered for."""
        return (model_target(card),)

    async def read(self, picture: Picture, card: ModelCard, *, min_score: float, deadline: Deadline) -> Text:
        """The lines of that score at least. Raises Internal for a model that answers something else than it should."""
        found = await self.find(picture, card, deadline=deadline)
        # What is no more than space would be an empty line.
        lines = [line for line in found if line.score >= min_score and line.text]
        async with self._free:
            return await asyncio.to_thread(_text, lines, picture)

    async def find(self, picture: Picture, card: ModelCard, *, deadline: Deadline) -> list[TextLine]:
        """Every place with writing, also where it cannot be read: `text` is empty there. Raises as `read` does."""
        pixels = picture[model_target(card)]
        arrays = await self._inference.infer(card.name, {"images": pixels.pixels}, ["lines"], deadline=deadline)
        async with self._free:
            return await asyncio.to_thread(_found, card, arrays["lines"].reshape(-1)[0], pixels.source_region, picture)


def _found(card: ModelCard, answer: bytes, region: Region, picture: Picture) -> list[TextLine]:
    try:
        given = _LINES.validate_json(answer)
    except ValidationError as error:
        # Its text would tell what stands on the picture.
        raise errors.Internal(
            f"model {card.name!r} answered lines that are none ({error.error_count()} faults)", reason="MODEL_FAILED"
        ) from None
    return [_line(each, region, picture) for each in given]


def _text(lines: list[TextLine], picture: Picture) -> Text:
    """The lines in reading order."""
    if lines:
        corners = np.array([each.corners for each in lines], np.float64) * [picture.width, picture.height]
        lines = [lines[index] for index in reading_order(turned_upright(corners))]
    return Text(lines, picture.width, picture.height)


def _line(line: _Line, region: Region, picture: Picture) -> TextLine:
    width, height = region.x_max - region.x_min, region.y_max - region.y_min
    points = [(region.x_min + x * width, region.y_min + y * height) for x, y in line.corners]
    top_left, top_right, bottom_right, bottom_left = points
    xs, ys = zip(*points, strict=True)
    across = (top_right[0] - top_left[0] + bottom_right[0] - bottom_left[0]) * picture.width
    down = (top_right[1] - top_left[1] + bottom_right[1] - bottom_left[1]) * picture.height
    return TextLine(
        " ".join(line.text.split()),  # on one line, since lines are joined by line breaks
        line.score,
        (top_left, top_right, bottom_right, bottom_left),
        Region(_clip(min(xs)), _clip(min(ys)), _clip(max(xs)), _clip(max(ys))),
        _orientation(down, across),
    )


def _orientation(down: float, across: float) -> float:
    """Degrees clockwise, above -180 to 180; to a hundredth, so that upside down has one sign, in float32 too."""
    turned = round(degrees(atan2(down, across)), 2)
    return 180.0 if turned == -180 else turned  # noqa: PLR2004 - half a turn


def _clip(value: float) -> float:
    return min(1.0, max(0.0, value))
