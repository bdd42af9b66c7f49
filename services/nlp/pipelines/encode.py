"""Texts through a model that reads tokens: check each, tokenise the good ones together, run them as one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import Inference, Preprocessor

MAX_TEXTS = 64
MAX_TEXT_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Encoded:
    """What a model said of one text: values float32[D], and whether only the text's beginning was read."""

    values: NDArray[np.float32]
    truncated: bool


class TextEncoder:
    """Runs models whose catalog entry names a tokenizer and whose one wanted output has a row a text."""

    def __init__(self, inference: Inference, preprocessor: Preprocessor) -> None:
        self._inference = inference
        self._preprocessor = preprocessor

    async def encode(
        self, contents: Sequence[str], card: ModelCard, output: str, deadline: Deadline
    ) -> list[Encoded | errors.MeshError]:
        """One answer a text, in order; a text that breaks a rule gets its error, and the others their answers.

        output: name of the model's output, float32[N, D].
        Raises InvalidArgument for an empty or too long list, and what the ports raise.
        """
        if not 1 <= len(contents) <= MAX_TEXTS:
            raise errors.InvalidArgument.field("contents", f"takes 1 to {MAX_TEXTS} texts, got {len(contents)}")
        found = [_fault(index, text) for index, text in enumerate(contents)]
        good = [text for text, fault in zip(contents, found, strict=True) if fault is None]
        answers = iter(await self._run(good, card, output, deadline) if good else ())
        return [next(answers) if fault is None else fault for fault in found]

    async def _run(self, texts: Sequence[str], card: ModelCard, output: str, deadline: Deadline) -> list[Encoded]:
        tokens = await self._preprocessor.tokenize(
            texts,
            tokenizer=card.preprocess["tokenizer"],
            max_tokens=card.preprocess["max_tokens"],
            deadline=deadline,
        )
        arrays = await self._inference.infer(
            card.name,
            {"input_ids": tokens.input_ids, "attention_mask": tokens.attention_mask},
            [output],
            deadline=deadline,
        )
        return [Encoded(row, cut) for row, cut in zip(arrays[output], tokens.truncated, strict=True)]


def _fault(index: int, text: str) -> errors.MeshError | None:
    size = len(text.encode())
    if 1 <= size <= MAX_TEXT_BYTES:
        return None
    return errors.InvalidArgument.field(f"contents[{index}]", f"takes 1 to {MAX_TEXT_BYTES} UTF-8 bytes, got {size}")
