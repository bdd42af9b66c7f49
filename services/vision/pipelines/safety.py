"""Tells whether a picture is safe for work."""

from __future__ import annotations

from dataclasses import dataclass

from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.vision.pipelines.model import ImageModel
from services.vision.pipelines.picture import Picture

SAFETY = "image-safety"
_UNSAFE = "unsafe"


@dataclass(frozen=True, slots=True)
class Safety:
    """The probability that the picture is not safe for work, 0..1."""

    unsafe_score: float


class SafetyAssessor(ImageModel):
    """Runs models with an output `scores` float32[1, classes], one of whose labels is "unsafe"."""

    async def assess(self, picture: Picture, card: ModelCard, *, deadline: Deadline) -> Safety:
        """How likely it is unsafe."""
        _, (scores,) = await self.run(picture, card, ["scores"], deadline)
        return Safety(float(scores[card.labels.index(_UNSAFE)]))
