"""Turns a picture into a vector, by which like pictures are found."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.vision.pipelines.model import ImageModel
from services.vision.pipelines.picture import Picture

EMBEDDING = "image-embedding"


class ImageEmbedder(ImageModel):
    """Runs models with an output `features` float32[1, D]."""

    async def embed(self, picture: Picture, card: ModelCard, *, deadline: Deadline) -> NDArray[np.float32]:
        """The vector, float32[D], of length 1."""
        _, (features,) = await self.run(picture, card, ["features"], deadline)
        length = np.linalg.norm(features)
        vector: NDArray[np.float32] = features / max(float(length), 1e-9)
        return vector
