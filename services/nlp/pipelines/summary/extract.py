"""The most telling sentences of a text, by what they mean.

Each sentence's embedding is compared with the centroid of all (Radev et al. 2004, "Centroid-based summarization of
multiple documents"), and sentences are taken by maximal marginal relevance, so that the second does not repeat the
first (Carbonell and Goldstein 1998, "The use of MMR, diversity-based reranking").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import Preprocessor, Sentence
from services.nlp.pipelines.encode import TextEncoder
from services.nlp.pipelines.words import count_words

# Sentences that are compared; of a longer text that many, spread evenly over it. They take seconds on two cores.
MAX_SENTENCES = 512
# What counts when a sentence is chosen: nearness to the whole text against likeness to those that are chosen already.
_RELEVANCE = 0.7
# From this cosine similarity on, a sentence says again what another says.
_SAME = 0.98


@dataclass(frozen=True, slots=True)
class Chosen:
    """A sentence that stands for its text, in code points. score: cosine similarity to the whole, 0..1."""

    begin: int
    end: int
    score: float


class Extractor:
    """Chooses sentences with an embedding model."""

    def __init__(self, encoder: TextEncoder, preprocessor: Preprocessor) -> None:
        self._encoder = encoder
        self._preprocessor = preprocessor

    async def sentences(self, text: str, language_code: str, deadline: Deadline) -> list[Sentence]:
        """Where the sentences of a text stand; those without a word are left out."""
        (found,) = await self._preprocessor.segment([text], language_codes=[language_code], deadline=deadline)
        return [each for each in found if count_words(text[each.begin : each.end])]

    async def choose(
        self,
        text: str,
        found: Sequence[Sentence],
        card: ModelCard,
        deadline: Deadline,
        *,
        most: int,
        budget: float = float("inf"),
        cost: Callable[[str], float] = count_words,
    ) -> list[Chosen]:
        """At most so many of the text's sentences, in its order, whose costs together are within the budget.

        found: of `sentences`, at least one.
        """
        spread = np.linspace(0, len(found) - 1, min(len(found), MAX_SENTENCES)).round().astype(int)
        candidates = [found[index] for index in spread]
        contents = [text[each.begin : each.end] for each in candidates]
        vectors = np.stack([each.values for each in await self._encoder.embed(contents, card, deadline)])
        centroid = vectors.mean(0)
        relevance = vectors @ (centroid / max(float(np.linalg.norm(centroid)), 1e-9))
        costs = [cost(content) for content in contents]
        taken = _marginal(relevance, vectors @ vectors.T, costs, most, budget)
        return [
            Chosen(candidates[index].begin, candidates[index].end, float(np.clip(relevance[index], 0, 1)))
            for index in sorted(taken)
        ]


def _marginal(
    relevance: NDArray[np.float32], likeness: NDArray[np.float32], costs: Sequence[float], most: int, budget: float
) -> list[int]:
    """Rows by maximal marginal relevance, the best first.  relevance: float32[N], likeness: float32[N, N]."""
    gain = _RELEVANCE * _stretched(relevance)
    alike = _stretched(likeness)
    nearest = np.zeros_like(gain)
    taken: list[int] = []
    open_ = np.array([cost <= budget for cost in costs])
    while len(taken) < most and open_.any():
        best = int(np.argmax(np.where(open_, gain - (1 - _RELEVANCE) * nearest, -np.inf)))
        taken.append(best)
        budget -= costs[best]
        nearest = np.maximum(nearest, alike[best])
        open_ &= np.array([cost <= budget for cost in costs]) & (likeness[best] < _SAME)
        open_[best] = False
    return taken


def _stretched(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """To 0..1, since some models' similarities all lie near 1."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / max(high - low, 1e-6)
