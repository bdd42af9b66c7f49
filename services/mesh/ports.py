"""What the pipelines need from the outside, as protocols. Adapters implement them; tests fake them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from services.mesh.deadline import Deadline

Array = NDArray[Any]
Fit = Literal["stretch", "cover", "contain"]


class Inference(Protocol):
    """Runs models."""

    async def infer(
        self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str], *, deadline: Deadline
    ) -> dict[str, Array]:
        """Run a model once.

        inputs: arrays by tensor name, with the batch dimension if the model has one; texts are object arrays of bytes.
        outputs: the tensors wanted.
        Raises NotFound, Unavailable, Exhausted, DeadlineExceeded or Internal.
        """
        ...


@dataclass(frozen=True, slots=True)
class Tokens:
    """N tokenised texts, padded to the longest: input_ids and attention_mask int64[N, L], truncated N bools."""

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    truncated: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle in fractions of an upright picture."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float


@dataclass(frozen=True, slots=True)
class Pixels:
    """A decoded picture: pixels uint8[H, W, 3] RGB, and where on the upright original they lie."""

    pixels: NDArray[np.uint8]
    source_width: int
    source_height: int
    source_region: Region


@dataclass(frozen=True, slots=True)
class Sound:
    """A decoded recording: samples float32[T], one channel, -1..1."""

    samples: NDArray[np.float32]
    sample_rate_hertz: int
    duration_seconds: float


class Preprocessor(Protocol):
    """Turns raw input into tensors.

    Raises InvalidArgument naming the field, Exhausted, Unavailable or DeadlineExceeded.
    """

    async def tokenize(self, texts: Sequence[str], *, tokenizer: str, max_tokens: int, deadline: Deadline) -> Tokens:
        """Split texts into token ids. Also raises NotFound for an unknown tokenizer."""
        ...

    async def transform_image(
        self, content: bytes, *, width: int, height: int, fit: Fit, crop_fraction: float, deadline: Deadline
    ) -> Pixels:
        """Decode, turn upright, scale and crop a picture."""
        ...

    async def convert_audio(self, content: bytes, *, sample_rate_hertz: int, deadline: Deadline) -> Sound:
        """Decode, mix to one channel and resample a recording."""
        ...
