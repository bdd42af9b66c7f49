"""Tells what can be told of a face: age, expression, and the vector by which it is compared."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard, Models
from services.mesh.ports import Array, Inference, Pixels
from services.mesh.together import together
from services.vision.pipelines.faces.align import cut_out
from services.vision.pipelines.faces.face import Attribute, Face
from services.vision.pipelines.model import ImageModel

EMBEDDING = "face-embedding"
# The task whose model tells an attribute, and the output that does.
_TOLD_BY: Mapping[Attribute, tuple[str, str]] = {
    "age": ("face-age", "age"),
    "expression": ("face-expression", "scores"),
    "embedding": (EMBEDDING, "embedding"),
}


class FaceReader(ImageModel):
    """Runs models that take single faces.

    Outputs: age float32[N, 1], in years; scores float32[N, classes]; embedding float32[N, D], of length 1.
    """

    def __init__(self, inference: Inference, models: Models) -> None:
        super().__init__(inference)
        self._models = models

    def models_for(
        self, attributes: frozenset[Attribute], embedding_card: ModelCard | None = None
    ) -> dict[Attribute, ModelCard]:
        """The default models that tell these, or for the embedding the one given. Raises what Models.pick raises."""
        given = {"embedding": embedding_card}
        return {each: given.get(each) or self._models.pick(_TOLD_BY[each][0], "") for each in attributes}

    async def read(
        self, pixels: Pixels, faces: Sequence[Face], cards: Mapping[Attribute, ModelCard], deadline: Deadline
    ) -> list[Face]:
        """The faces with what the models tell of them. pixels: of the picture that the faces are on."""
        cut = await asyncio.to_thread(cut_out, pixels, faces, list(cards.values()))
        told = await together(
            self.run_each(images, card, [_TOLD_BY[attribute][1]], deadline)
            for images, (attribute, card) in zip(cut, cards.items(), strict=True)
        )
        known = list(faces)
        for answers, (attribute, card) in zip(told, cards.items(), strict=True):
            known = [
                replace(face, **_fields(attribute, card, array)) for face, (array,) in zip(known, answers, strict=True)
            ]
        return known


def _fields(attribute: Attribute, card: ModelCard, array: Array) -> dict[str, Any]:
    """The fields of a Face that an output of a model fills."""
    if attribute == "age":
        return {"age_years": float(array[0])}
    if attribute == "expression":
        order = np.argsort(-array, kind="stable")
        return {"expressions": tuple((card.labels[index], float(array[index])) for index in order)}
    return {"embedding": array, "embedding_model": card.name}
