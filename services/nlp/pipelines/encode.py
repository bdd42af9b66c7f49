"""Texts through a model that reads tokens: check each, run the good ones in batches that the model takes."""

from __future__ import annotations

import asyncio
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
        answers: dict[int, Encoded | errors.MeshError] = {}
        for index, text in enumerate(contents):
            fault = _fault(index, text)
            if fault is not None:
                answers[index] = fault
        # By length, so that texts of one batch are padded little.
        good = sorted((index for index in range(len(contents)) if index not in answers), key=lambda i: len(contents[i]))

        async def run(batch: Sequence[int]) -> None:
            encoded = await self._run([contents[index] for index in batch], card, output, deadline)
            answers.update(zip(batch, encoded, strict=True))

        try:
            async with asyncio.TaskGroup() as batches:
                for batch in _batches(good, card.max_batch_size or MAX_TEXTS):
                    batches.create_task(run(batch))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        return [answers[index] for index in range(len(contents))]

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


def _batches(indices: Sequence[int], size: int) -> list[Sequence[int]]:
    return [indices[begin : begin + size] for begin in range(0, len(indices), size)]


def _fault(index: int, text: str) -> errors.MeshError | None:
    size = len(text.encode())
    if 1 <= size <= MAX_TEXT_BYTES:
        return None
    return errors.InvalidArgument.field(f"contents[{index}]", f"takes 1 to {MAX_TEXT_BYTES} UTF-8 bytes, got {size}")
