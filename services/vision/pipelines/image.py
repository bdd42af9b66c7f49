"""A picture through a model: preprocessing as the catalog entry says, then inference."""

from __future__ import annotations

from collections.abc import Sequence

from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import Array, Inference, Pixels, Preprocessor


class ImageModel:
    """Runs models that take `images` uint8[1, H, W, 3]."""

    def __init__(self, inference: Inference, preprocessor: Preprocessor) -> None:
        self._inference = inference
        self._preprocessor = preprocessor

    async def run(
        self, content: bytes, card: ModelCard, outputs: Sequence[str], deadline: Deadline
    ) -> tuple[Pixels, list[Array]]:
        """The picture as the model saw it, and the model's outputs without their batch dimension."""
        pixels = await self._preprocessor.transform_image(
            content,
            width=card.preprocess["width"],
            height=card.preprocess["height"],
            fit=card.preprocess["fit"],
            crop_fraction=card.preprocess.get("crop_fraction", 1.0),
            deadline=deadline,
        )
        arrays = await self._inference.infer(card.name, {"images": pixels.pixels[None]}, outputs, deadline=deadline)
        return pixels, [arrays[name][0] for name in outputs]
