"""Compares the faces of two pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.together import together
from services.vision.pipelines.faces.encode import FaceEncoder
from services.vision.pipelines.faces.face import Face


@dataclass(frozen=True, slots=True)
class Verification:
    """Two faces without their vectors, how far apart these are, and how far they may be to count as one person's."""

    face: Face
    other_face: Face
    distance: float
    threshold: float
    model: str

    @property
    def same_person(self) -> bool:
        """Whether they count as one person."""
        return self.distance <= self.threshold


class FaceVerifier:
    """Says whether two pictures show one person."""

    def __init__(self, encoder: FaceEncoder) -> None:
        self._encoder = encoder

    async def verify(
        self, content: bytes, other_content: bytes, *, model: str = "", max_distance: float = 0, deadline: Deadline
    ) -> Verification:
        """Compare the largest face of each.

        max_distance: 0 for what was measured for the model. Raises what FaceEncoder.encode raises, with `image` and
        `other_image` as the fields.
        """
        card = self._encoder.card(model)
        farthest = threshold(card, max_distance)
        face, other = await together(
            self._encoder.encode(each, field=field, embedding_model=card.name, deadline=deadline)
            for each, field in ((content, "image"), (other_content, "other_image"))
        )
        return Verification(
            _without_vector(face),
            _without_vector(other),
            _distance(face, other),
            farthest,
            card.name,
        )


def threshold(card: ModelCard, max_distance: float) -> float:
    """How far apart two faces of one person may be: what is wanted, or for 0 what was measured for the model.

    Raises InvalidArgument when nothing was.
    """
    measured = float(card.postprocess.get("max_distance", 0))
    if not (max_distance or measured):
        raise errors.InvalidArgument.field("max_distance", f"is required: none was measured for model {card.name!r}")
    return max_distance or measured


def _distance(face: Face, other: Face) -> float:
    assert face.embedding is not None  # noqa: S101 - an encoder gives faces with vectors
    assert other.embedding is not None  # noqa: S101 - likewise
    return float(np.linalg.norm(face.embedding - other.embedding))


def _without_vector(face: Face) -> Face:
    return replace(face, embedding=None, embedding_model="")
