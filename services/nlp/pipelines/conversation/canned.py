"""Replies that a caller has written beforehand, found by what the question means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard, Models
from services.nlp.pipelines.encode import EMBEDDING, TextEncoder

# For models whose card says nothing of canned replies: the cosine similarity of texts that have nothing to do with each
# other, and the score from which two questions mean the same. The catalog has measured ones as preprocess.canned.
_UNRELATED = 0.0
_SAME = 0.6


@dataclass(frozen=True, slots=True)
class Canned:
    """A reply, and the question that it answers."""

    question: str
    reply: str


@dataclass(frozen=True, slots=True)
class CannedMatch:
    """A canned reply that fits: its number, and the similarity of its question, 0..1."""

    index: int
    score: float
    model: str


class CannedReplies:
    """Looks canned replies up."""

    def __init__(self, encoder: TextEncoder, models: Models) -> None:
        self._encoder = encoder
        self._models = models

    async def find(
        self, question: str, canned: Sequence[Canned], min_score: float, code: str, deadline: Deadline
    ) -> CannedMatch | None:
        """The canned reply whose question is nearest, if it is near enough.

        min_score: 0 for the one measured for the model. code: language of the question, "" if unknown. Raises what
        Models.pick and the ports raise.
        """
        card = self._models.pick(EMBEDDING, "", language_code=code)
        # All of them are questions: compared as like with like.
        vectors = await self._encoder.embed(
            [question, *(each.question for each in canned)], card, deadline, kind="query"
        )
        near = np.stack([vector.values for vector in vectors[1:]]) @ vectors[0].values
        best = int(near.argmax())
        score, least = _score(float(near[best]), card)
        return CannedMatch(best, score, card.name) if score >= (min_score or least) else None


def _score(cosine: float, card: ModelCard) -> tuple[float, float]:
    """A similarity of 0..1 in which unrelated texts have about 0, and what counts as the same."""
    measured = card.preprocess.get("canned", {})
    unrelated = measured.get("unrelated", _UNRELATED)
    return float(np.clip((cosine - unrelated) / (1 - unrelated), 0, 1)), measured.get("same", _SAME)
