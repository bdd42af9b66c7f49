"""Pictures through a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import Array, Inference, Pixels, Target
from services.mesh.together import each
from services.vision.pipelines.picture import Picture, model_target

# Batches of one call that are in Triton at the same time, so that a large call leaves room for others.
_AT_ONCE = 3


class ImageModel:
    """Runs models that take `images` uint8[N, H, W, 3], N up to their batch size."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference

    def targets(self, card: ModelCard) -> tuple[Target, ...]:
        """What a picture must be rendered for."""
        return (model_target(card),)

    async def run(
        self, picture: Picture, card: ModelCard, outputs: Sequence[str], deadline: Deadline
    ) -> tuple[Pixels, list[Array]]:
        """The picture as the model saw it, and the model's outputs without their batch dimension."""
        pixels = picture[model_target(card)]
        (arrays,) = await self.run_each([pixels.pixels], card, outputs, deadline)
        return pixels, arrays

    async def run_each(
        self, images: Sequence[NDArray[np.uint8]], card: ModelCard, outputs: Sequence[str], deadline: Deadline
    ) -> list[list[Array]]:
        """The outputs for each picture of the model's own size, uint8[H, W, 3], in order; in batches, some at once."""
        size = max(1, card.max_batch_size)

        async def infer(batch: Sequence[NDArray[np.uint8]]) -> list[list[Array]]:
            stacked = batch[0][None] if len(batch) == 1 else np.stack(batch)
            arrays = await self._inference.infer(card.name, {"images": stacked}, outputs, deadline=deadline)
            return [[arrays[name][row] for name in outputs] for row in range(len(batch))]

        batches = [images[start : start + size] for start in range(0, len(images), size)]
        return [answer for batch in await each(batches, infer, at_once=_AT_ONCE) for answer in batch]
