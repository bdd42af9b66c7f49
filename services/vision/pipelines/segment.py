"""Finds where on a picture there are people, pixel by pixel."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import Inference, Region
from services.vision.pipelines.model import ImageModel
from services.vision.pipelines.picture import Picture

SEGMENTATION = "person-segmentation"
MAX_SIDE = 1024
_MIDDLE = 127
# Masks that are encoded at the same time; each takes a thread.
_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class PersonMask:
    """A PNG of one 8-bit channel, its size in pixels, and the share of it that is above the middle."""

    png: bytes
    width: int
    height: int
    coverage: float


class PersonSegmenter(ImageModel):
    """Runs models with an output `mask` float32[1, h, w], 0..1, of any size."""

    def __init__(self, inference: Inference) -> None:
        super().__init__(inference)
        self._free = asyncio.Semaphore(_AT_ONCE)

    async def segment(self, picture: Picture, card: ModelCard, *, deadline: Deadline) -> PersonMask:
        """The mask, in the picture's proportions."""
        pixels, (mask,) = await self.run(picture, card, ["mask"], deadline)
        scale = min(1.0, MAX_SIDE / max(picture.width, picture.height))
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        async with self._free:
            return await asyncio.to_thread(_encode, mask, pixels.source_region, size)


def _encode(mask: NDArray[np.float32], region: Region, size: tuple[int, int]) -> PersonMask:
    """mask: float32[h, w] over a region of the picture, which may reach beyond it -> at that width and height."""
    rows, columns = mask.shape
    grey = Image.fromarray(np.rint(np.clip(mask, 0, 1) * 255).astype(np.uint8))
    across, down = columns / (region.x_max - region.x_min), rows / (region.y_max - region.y_min)
    inner = (
        max(0.0, -region.x_min * across),
        max(0.0, -region.y_min * down),
        min(float(columns), (1 - region.x_min) * across),
        min(float(rows), (1 - region.y_min) * down),
    )
    resized = grey.resize(size, Image.Resampling.BILINEAR, box=inner)
    file = io.BytesIO()
    resized.save(file, "PNG")
    return PersonMask(file.getvalue(), *size, float(np.mean(np.asarray(resized) > _MIDDLE)))
