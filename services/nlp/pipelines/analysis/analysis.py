"""All that this service finds out about texts without writing any."""

from __future__ import annotations

from dataclasses import dataclass

from services.mesh.cache import AnswerCache
from services.mesh.models import Models
from services.mesh.ports import Inference, Preprocessor
from services.nlp.pipelines.analysis.classify import TextClassification
from services.nlp.pipelines.analysis.entities import EntityAnalysis
from services.nlp.pipelines.analysis.sentiment import SentimentAnalysis
from services.nlp.pipelines.encode import TextEncoder
from services.nlp.pipelines.languages import Languages


@dataclass(frozen=True, slots=True)
class Analysis:
    """The pipelines that share an encoder and a cache."""

    models: Models
    languages: Languages
    encoder: TextEncoder
    sentiment: SentimentAnalysis
    classification: TextClassification
    entities: EntityAnalysis

    @classmethod
    def over(cls, inference: Inference, preprocessor: Preprocessor, models: Models, cache: AnswerCache) -> Analysis:
        """On these adapters."""
        encoder = TextEncoder(inference, preprocessor, models, cache)
        return cls(
            models,
            Languages(preprocessor),
            encoder,
            SentimentAnalysis(encoder, preprocessor, models),
            TextClassification(encoder, models),
            EntityAnalysis(inference, models, cache),
        )
