"""Faces that are no pictures: b"ann 1" is the first picture of Ann, near all others of her and of nobody else."""

from __future__ import annotations

import numpy as np

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import Region
from services.vision.pipelines.faces.face import Face

DIMENSION = 16
KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
CARD = ModelCard(name="face-model", task="face-embedding", summary="Compares faces.", postprocess={"max_distance": 0.6})


def vector(name: str) -> np.ndarray:
    """Of length 1. Two pictures of one person are some 0.1 apart, two persons 1 and more as a rule."""
    person, _, picture = name.partition(" ")
    made = _random(person) + 0.07 * _random(name) * bool(picture)
    return np.float32(made / np.linalg.norm(made))


def _random(name: str) -> np.ndarray:
    made = np.random.default_rng(list(name.encode())).normal(size=DIMENSION)
    return made / np.linalg.norm(made)


class FakeEncoder:
    """The content names the face; b"" has none, and "ann 1+bob 1" two."""

    def __init__(self, card: ModelCard = CARD) -> None:
        self._card = card

    def card(self, embedding_model: str = "") -> ModelCard:
        return self._card

    async def encode(
        self, content: bytes, *, field: str, embedding_model: str = "", only_one: bool = False, deadline: Deadline
    ) -> Face:
        names = content.decode().split("+")
        if content == b"nobody":
            raise errors.FailedPrecondition(f"{field}: no face was found on the picture", reason="FACE_NOT_FOUND")
        if only_one and len(names) > 1:
            raise errors.FailedPrecondition(f"{field}: takes a picture with one face", reason="SEVERAL_FACES")
        return Face(
            Region(0.1, 0.1, 0.5, 0.5),
            0.9,
            np.full((5, 2), 0.3, np.float32),
            embedding=vector(names[0]),
            embedding_model=self._card.name,
        )
