"""Names what a picture shows as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.vision.pipelines.image import ImageModel


@dataclass(frozen=True, slots=True)
class Label:
    """A class of a model and its probability."""

    index: int
    name: str
    score: float


class ImageClassifier(ImageModel):
    """Runs models with an output `scores` float32[1, classes]."""

    async def classify(
        self, content: bytes, card: ModelCard, *, max_results: int, min_score: float, deadline: Deadline
    ) -> list[Label]:
        """The best labels, best first."""
        _, (scores,) = await self.run(content, card, ["scores"], deadline)
        best = np.argsort(-scores, kind="stable")[:max_results]
        return [
            Label(int(index), card.labels[index], float(scores[index])) for index in best if scores[index] >= min_score
        ]
