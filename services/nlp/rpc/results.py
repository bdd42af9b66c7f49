"""What the pipelines of analysis found, as the contract has it; a text that failed has its status."""

from __future__ import annotations

from maas.nlp.v1 import nlp_pb2 as pb
from maas.nlp.v1 import text_pb2
from services.mesh import errors
from services.mesh.status import to_status
from services.nlp.pipelines.analysis.annotate import Annotation
from services.nlp.pipelines.analysis.classify import TextLabels
from services.nlp.pipelines.analysis.entities import TextEntities
from services.nlp.pipelines.analysis.sentiment import TextSentiment
from services.nlp.pipelines.encode import Encoded
from services.nlp.rpc.spans import Offsets

_SIDES = {-1: pb.SENTIMENT_NEGATIVE, 0: pb.SENTIMENT_NEUTRAL, 1: pb.SENTIMENT_POSITIVE}
_TYPE_PREFIX = "ENTITY_TYPE_"


def kind_of(entity_type: pb.EntityType.ValueType) -> str:
    """The pipeline's word for a kind of entity."""
    return pb.EntityType.Name(entity_type).removeprefix(_TYPE_PREFIX)


def sentiment(found: TextSentiment | errors.MeshError, encoding: text_pb2.EncodingType.ValueType) -> pb.SentimentResult:
    """One text's."""
    if isinstance(found, errors.MeshError):
        return pb.SentimentResult(status=to_status(found))
    offsets = Offsets(found.text.content, encoding)
    return pb.SentimentResult(
        sentiment=_SIDES[found.feeling.side],
        score=found.feeling.score,
        positive_probability=found.feeling.positive,
        truncated=found.truncated,
        language_code=found.text.language_code,
        magnitude=found.magnitude,
        model=found.model,
        sentences=[
            pb.SentenceSentiment(
                span=offsets.span(part.begin, part.end),
                sentiment=_SIDES[feeling.side],
                score=feeling.score,
                positive_probability=feeling.positive,
            )
            for part, feeling in found.sentences
        ],
    )


def classification(
    found: TextLabels | errors.MeshError, max_results: int, min_score: float = 0.0
) -> pb.TextClassification:
    """One text's: at most so many labels, and none of a lower score."""
    if isinstance(found, errors.MeshError):
        return pb.TextClassification(status=to_status(found))
    best = [(label, score) for label, score in found.scores[:max_results] if score >= min_score]
    return pb.TextClassification(
        labels=[pb.LabelScore(label=label, score=score) for label, score in best],
        language_code=found.text.language_code,
        model=found.model,
        truncated=found.truncated,
    )


def entities(found: TextEntities | errors.MeshError, encoding: text_pb2.EncodingType.ValueType) -> pb.TextEntities:
    """One text's."""
    if isinstance(found, errors.MeshError):
        return pb.TextEntities(status=to_status(found))
    offsets = Offsets(found.text.content, encoding)
    return pb.TextEntities(
        entities=[
            pb.Entity(
                type=pb.EntityType.Value(_TYPE_PREFIX + each.kind),
                span=offsets.span(each.begin, each.end),
                score=each.score,
            )
            for each in found.entities
        ],
        language_code=found.text.language_code,
        model=found.model,
    )


def embedding(found: Encoded | errors.MeshError) -> pb.TextEmbedding:
    """One text's."""
    if isinstance(found, errors.MeshError):
        return pb.TextEmbedding(status=to_status(found))
    return pb.TextEmbedding(values=found.values.tolist(), truncated=found.truncated)


def annotation(
    annotated: Annotation[pb.TextFeature.ValueType] | errors.MeshError,
    encoding: text_pb2.EncodingType.ValueType,
    max_results: int,
) -> pb.TextAnnotation:
    """One text's: a part for each feature that was asked for."""
    if isinstance(annotated, errors.MeshError):
        return pb.TextAnnotation(status=to_status(annotated))
    found = annotated.found
    answer = pb.TextAnnotation(language_code=annotated.text.language_code)
    if pb.TEXT_FEATURE_SENTIMENT in found:
        answer.sentiment.CopyFrom(sentiment(found[pb.TEXT_FEATURE_SENTIMENT], encoding))
    if pb.TEXT_FEATURE_CLASSIFICATION in found:
        answer.classification.CopyFrom(classification(found[pb.TEXT_FEATURE_CLASSIFICATION], max_results))
    if pb.TEXT_FEATURE_ENTITIES in found:
        answer.entities.CopyFrom(entities(found[pb.TEXT_FEATURE_ENTITIES], encoding))
    if pb.TEXT_FEATURE_EMBEDDING in found:
        answer.embedding.CopyFrom(embedding(found[pb.TEXT_FEATURE_EMBEDDING]))
    return answer
