"""Names what a picture shows as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.vision.pipelines.model import ImageModel
from services.vision.pipelines.picture import Picture

CLASSIFICATION = "image-classification"


@dataclass(frozen=True, slots=True)
class Label:
    """A class of a model and its probability. label_id: what other data sets call it, if anything."""

    index: int
    name: str
    score: float
    label_id: str = ""


class ImageClassifier(ImageModel):
    """Runs models with an output `scores` float32[1, classes]."""

    async def classify(
        self, picture: Picture, card: ModelCard, *, max_results: int, min_score: float, deadline: Deadline
    ) -> list[Label]:
        """The best labels, best first."""
        _, (scores,) = await self.run(picture, card, ["scores"], deadline)
        best = np.argsort(-scores, kind="stable")[:max_results]
        return [
            Label(int(index), card.labels[index], float(scores[index]), card.label_ids[index] if card.label_ids else "")
            for index in best
            if scores[index] >= min_score
        ]
