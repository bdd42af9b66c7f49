"""What is known of a face."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from services.mesh.ports import Region

Attribute = Literal["age", "expression", "embedding"]


@dataclass(frozen=True, slots=True)
class Face:
    """One face on a picture.

    box: in fractions of the upright picture. landmarks: float32[5, 2], x and y likewise: left eye, right eye, nose,
    left and right corner of the mouth, left and right being the person's own. What was not asked for is None or empty.
    expressions: names and probabilities, best first. embedding: float32[D], as comparing takes it.
    """

    box: Region
    score: float
    landmarks: NDArray[np.float32]
    age_years: float | None = None
    expressions: tuple[tuple[str, float], ...] = ()
    embedding: NDArray[np.float32] | None = field(default=None, repr=False)
    embedding_model: str = ""


@dataclass(frozen=True, slots=True)
class Faces:
    """The faces of a picture of that size in pixels, best first."""

    faces: list[Face]
    image_width: int
    image_height: int
