"""Finds the faces of a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard, Models
from services.mesh.ports import Inference, Region, Target
from services.vision.pipelines.boxes import on_source, suppress
from services.vision.pipelines.faces.attributes import FaceReader
from services.vision.pipelines.faces.face import Attribute, Face, Faces
from services.vision.pipelines.picture import Picture, model_target

DETECTION = "face-detection"

# What can be told of a face is read from a larger rendering than it is found on. A picture that is smaller stays so.
_DETAILS = Target(1600, 1600, "inside")


class FaceFinder:
    """Runs models with boxes float32[1, N, 4], scores float32[1, N] and landmarks float32[1, N, 5, 2].

    Boxes (y_min, x_min, y_max, x_max) and landmarks (x, y; in the order of Face) are fractions of the input.
    """

    def __init__(self, inference: Inference, models: Models) -> None:
        self._inference = inference
        self._reader = FaceReader(inference, models)

    def targets(self, card: ModelCard, attributes: frozenset[Attribute] = frozenset()) -> Sequence[Target]:
        """What must be rendered of a picture to find its faces, and to tell such attributes well."""
        found_on = model_target(card)
        return [found_on, _DETAILS] if attributes else [found_on]

    async def find(
        self,
        picture: Picture,
        card: ModelCard,
        *,
        max_results: int = 20,
        min_score: float = 0.5,
        attributes: frozenset[Attribute] = frozenset(),
        embedding_card: ModelCard | None = None,
        deadline: Deadline,
    ) -> Faces:
        """The faces, best first, each once, and what was asked of them.

        picture: opened with `targets`. embedding_card: None for the default model. Raises what `tell` raises.
        """
        self._reader.models_for(attributes, embedding_card)  # a missing model is an error even where there is no face
        pixels = picture[model_target(card)]
        outputs = await self._inference.infer(
            card.name, {"images": pixels.pixels[None]}, ["boxes", "scores", "landmarks"], deadline=deadline
        )
        boxes, scores, landmarks = (outputs[name][0] for name in ("boxes", "scores", "landmarks"))
        sure = np.flatnonzero(scores >= min_score)
        best = sure[np.argsort(-scores[sure], kind="stable")]
        faces = [
            Face(
                on_source(boxes[index], pixels.source_region),
                float(scores[index]),
                _points_on_source(landmarks[index], pixels.source_region),
            )
            for index in best[suppress(boxes[best], most=max_results)]
        ]
        faces = await self.tell(picture, card, faces, attributes, embedding_card=embedding_card, deadline=deadline)
        return Faces(faces, picture.width, picture.height)

    async def tell(
        self,
        picture: Picture,
        card: ModelCard,
        faces: Sequence[Face],
        attributes: frozenset[Attribute],
        *,
        embedding_card: ModelCard | None = None,
        deadline: Deadline,
    ) -> list[Face]:
        """The faces with these attributes, read from the larger rendering if the picture was opened with it.

        Raises what picking the attributes' models and inference raise.
        """
        cards = self._reader.models_for(attributes, embedding_card)
        if not (cards and faces):
            return list(faces)
        pixels = picture.renderings.get(_DETAILS) or picture[model_target(card)]
        return await self._reader.read(pixels, faces, cards, deadline)


def _points_on_source(points: NDArray[np.float32], region: Region) -> NDArray[np.float32]:
    """Points on a rendering, float32[5, 2] as x and y, as fractions of the upright picture; they may lie outside."""
    begin = np.array([region.x_min, region.y_min], np.float32)
    end = np.array([region.x_max, region.y_max], np.float32)
    placed: NDArray[np.float32] = begin + points * (end - begin)
    return placed
