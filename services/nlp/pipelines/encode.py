"""Texts through models that read tokens, and through heads that read embeddings; answers given before are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from services.mesh.cache import AnswerCache
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard, Models
from services.mesh.ports import Inference, Preprocessor
from services.mesh.together import together
from services.nlp.pipelines.texts import MAX_TEXT_BYTES

T = TypeVar("T")
Item = TypeVar("Item")
Kind = Literal["query", "passage"]

EMBEDDING = "text-embedding"
# For models without a batch size of their own.
_MAX_BATCH = 64
# Batches of one call that are in Triton at the same time, so that a large call leaves room for others.
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Encoded:
    """What a model said of one text: values float32[D], and whether only the text's beginning was read."""

    values: NDArray[np.float32]
    truncated: bool


class TextEncoder:
    """Runs models that answer a row a text, and always the same: embeddings, and heads on top of them."""

    def __init__(self, inference: Inference, preprocessor: Preprocessor, models: Models, cache: AnswerCache) -> None:
        """models: where heads find the embedding model that they stand on."""
        self._inference = inference
        self._preprocessor = preprocessor
        self._models = models
        self._cache = cache

    async def embed(
        self, texts: Sequence[str], card: ModelCard, deadline: Deadline, *, kind: Kind = "passage"
    ) -> list[Encoded]:
        """A vector of length 1 a text, in order: float32[D].

        texts: any number; none of them empty. kind: what they are used for, where the model makes a difference.
        Raises what the ports raise.
        """
        prefix = card.preprocess.get("prefixes", {}).get(kind, "")
        return await self._read(texts, card, "embedding", prefix, deadline)

    async def judge(self, texts: Sequence[str], card: ModelCard, deadline: Deadline) -> list[Encoded]:
        """The probability of each of the model's labels: float32[labels] a text, in order.

        The model reads tokens itself, or the embeddings of the model that its card names. Raises what the ports and
        Models.pick raise.
        """
        if "embedding_model" not in card.preprocess:
            return await self._read(texts, card, "probabilities", "", deadline)
        below = self._models.pick(EMBEDDING, card.preprocess["embedding_model"])
        kind = card.preprocess.get("prefix", "passage")

        async def compute(new: list[str]) -> list[Encoded]:
            vectors = await self.embed(new, below, deadline, kind=kind)
            return await batched(vectors, card, partial(self._infer_head, card, deadline))

        asking = (card.name, card.version, "probabilities", below.name, below.version, kind)
        return await self._cache.answers(asking, texts, compute)

    async def _read(
        self, texts: Sequence[str], card: ModelCard, output: str, prefix: str, deadline: Deadline
    ) -> list[Encoded]:
        async def compute(new: list[str]) -> list[Encoded]:
            # By length, so that texts of one batch are padded little.
            order = sorted(range(len(new)), key=lambda index: len(new[index]))
            answers = await batched(
                [prefix + new[index] for index in order], card, partial(self._infer_tokens, card, output, deadline)
            )
            places = {index: place for place, index in enumerate(order)}
            return [answers[places[index]] for index in range(len(new))]

        return await self._cache.answers((card.name, card.version, output, prefix), texts, compute)

    async def _infer_tokens(
        self, card: ModelCard, output: str, deadline: Deadline, texts: Sequence[str]
    ) -> list[Encoded]:
        # With its prefix, a text of the size that callers may send can be a little larger than what is tokenized.
        sent = [text.encode()[:MAX_TEXT_BYTES].decode(errors="ignore") for text in texts]
        tokens = await self._preprocessor.tokenize(
            sent,
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
        return [
            Encoded(_own(row), cut or short != text)
            for row, cut, short, text in zip(arrays[output], tokens.truncated, sent, texts, strict=True)
        ]

    async def _infer_head(self, card: ModelCard, deadline: Deadline, vectors: Sequence[Encoded]) -> list[Encoded]:
        batch = np.stack([vector.values for vector in vectors])
        arrays = await self._inference.infer(card.name, {"embedding": batch}, ["probabilities"], deadline=deadline)
        return [
            Encoded(_own(row), vector.truncated) for row, vector in zip(arrays["probabilities"], vectors, strict=True)
        ]


def _own(row: NDArray[np.float32]) -> NDArray[np.float32]:
    """A copy that many may read: a row that is kept must not keep its whole batch."""
    own = row.copy()
    own.flags.writeable = False
    return own


async def batched(
    items: Sequence[Item],
    card: ModelCard,
    infer: Callable[[Sequence[Item]], Awaitable[list[T]]],
    *,
    weigh: Callable[[Item], int] = lambda _: 0,
    most: int = 0,
) -> list[T]:
    """What `infer` makes of batches that the model takes, joined in order.

    weigh, most: a batch of several items weighs no more, so that one call does not hold the model for long.
    """
    free = asyncio.Semaphore(_AT_ONCE)

    async def one(batch: Sequence[Item]) -> list[T]:
        async with free:
            return await infer(batch)

    batches: list[list[Item]] = []
    weight = 0
    for item in items:
        weight += weigh(item)
        if not batches or len(batches[-1]) == (card.max_batch_size or _MAX_BATCH) or weight > most:
            batches.append([])
            weight = weigh(item)
        batches[-1].append(item)
    done = await together(map(one, batches))
    return [answer for batch in done for answer in batch]
