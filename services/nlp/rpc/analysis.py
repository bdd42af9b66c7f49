"""AnalyzeSentiment, ClassifyText, AnalyzeEntities, EmbedText and AnnotateText."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from maas.nlp.v1 import nlp_pb2 as pb
from maas.nlp.v1 import nlp_pb2_grpc
from services.mesh import errors
from services.mesh.call import Context
from services.mesh.deadline import Deadline
from services.mesh.request import fraction, limited, one_of, request_id
from services.mesh.server import budget
from services.nlp.pipelines.analysis.analysis import Analysis
from services.nlp.pipelines.analysis.annotate import annotate
from services.nlp.pipelines.analysis.classify import MAX_LABELS, require_labels
from services.nlp.pipelines.analysis.inputs import Text, checked, of_good, read
from services.nlp.pipelines.encode import EMBEDDING, Encoded, Kind
from services.nlp.rpc import results
from services.nlp.rpc.spans import require_encoding

_DEFAULT_RESULTS = 5
_KINDS: dict[pb.EmbeddingKind.ValueType, Kind] = {
    pb.EMBEDDING_KIND_UNSPECIFIED: "passage",
    pb.EMBEDDING_KIND_QUERY: "query",
    pb.EMBEDDING_KIND_PASSAGE: "passage",
}

Work = Callable[[Sequence[Text]], Awaitable[Sequence[Any]]]


class AnalysisRpcs(nlp_pb2_grpc.NlpServiceServicer):
    """The RPCs that say what texts mean, and write none."""

    _analysis: Analysis

    async def AnalyzeSentiment(
        self, request: pb.AnalyzeSentimentRequest, context: Context
    ) -> pb.AnalyzeSentimentResponse:
        """Whether texts speak well or badly."""
        echo, encoding, deadline = request_id(request), require_encoding(request.encoding_type), budget(context)
        texts = await read(request.contents, request.language_code, self._analysis.languages, deadline)
        work = partial(
            self._analysis.sentiment.analyze,
            deadline=deadline,
            model=request.model,
            sentences=request.include_sentences,
        )
        found = [results.sentiment(each, encoding) for each in await of_good(texts, work)]
        model = next((each.model for each in found if each.model), "")
        return pb.AnalyzeSentimentResponse(results=found, model=model, request_id=echo)

    async def ClassifyText(self, request: pb.ClassifyTextRequest, context: Context) -> pb.ClassifyTextResponse:
        """Which labels fit texts."""
        echo, labels, deadline = request_id(request), require_labels(request.labels), budget(context)
        most = limited("max_results", request.max_results, default=_DEFAULT_RESULTS, low=1, high=MAX_LABELS)
        least = fraction("min_score", request.min_score, default=0)
        texts = await read(request.contents, request.language_code, self._analysis.languages, deadline)
        work = partial(self._analysis.classification.classify, labels=labels, deadline=deadline, model=request.model)
        found = [results.classification(each, most, least) for each in await of_good(texts, work)]
        return pb.ClassifyTextResponse(results=found, request_id=echo)

    async def AnalyzeEntities(self, request: pb.AnalyzeEntitiesRequest, context: Context) -> pb.AnalyzeEntitiesResponse:
        """What texts name."""
        echo, encoding, deadline = request_id(request), require_encoding(request.encoding_type), budget(context)
        kinds = _kinds("types", request.types)
        texts = await read(request.contents, request.language_code, self._analysis.languages, deadline)
        work = partial(self._analysis.entities.analyze, deadline=deadline, model=request.model, kinds=kinds)
        found = [results.entities(each, encoding) for each in await of_good(texts, work)]
        return pb.AnalyzeEntitiesResponse(results=found, request_id=echo)

    async def EmbedText(self, request: pb.EmbedTextRequest, context: Context) -> pb.EmbedTextResponse:
        """Texts to vectors."""
        echo, kind, deadline = request_id(request), _kind("kind", request.kind), budget(context)
        texts = checked(request.contents)
        card = self._analysis.models.pick(EMBEDDING, request.model)
        work = partial(self._embed, deadline=deadline, kind=kind, model=request.model)
        found = [results.embedding(each) for each in await of_good(texts, work)]
        dimension = max(len(each.values) for each in found)
        return pb.EmbedTextResponse(results=found, model=card.name, dimension=dimension, request_id=echo)

    async def AnnotateText(self, request: pb.AnnotateTextRequest, context: Context) -> pb.AnnotateTextResponse:
        """Several of these for the same texts."""
        echo, encoding, deadline = request_id(request), require_encoding(request.encoding_type), budget(context)
        features = self._features(request, deadline)
        texts = await read(request.contents, request.language_code, self._analysis.languages, deadline)
        found = await annotate(texts, features)
        return pb.AnnotateTextResponse(
            results=[results.annotation(each, encoding, _DEFAULT_RESULTS) for each in found], request_id=echo
        )

    def _features(self, request: pb.AnnotateTextRequest, deadline: Deadline) -> Mapping[pb.TextFeature.ValueType, Work]:
        """What is asked for, and how it is found out. Raises InvalidArgument for what the contract does not have."""
        analysis = self._analysis
        known: dict[pb.TextFeature.ValueType, Work] = {
            pb.TEXT_FEATURE_SENTIMENT: partial(
                analysis.sentiment.analyze, deadline=deadline, sentences=request.include_sentences
            ),
            pb.TEXT_FEATURE_CLASSIFICATION: partial(
                analysis.classification.classify, labels=require_labels(request.labels), deadline=deadline
            ),
            pb.TEXT_FEATURE_ENTITIES: partial(
                analysis.entities.analyze, deadline=deadline, kinds=_kinds("entity_types", request.entity_types)
            ),
            pb.TEXT_FEATURE_EMBEDDING: partial(
                self._embed, deadline=deadline, kind=_kind("embedding_kind", request.embedding_kind)
            ),
        }
        wanted = list(request.features)
        if not wanted or len(set(wanted)) < len(wanted) or not known.keys() >= set(wanted):
            names = ", ".join(map(pb.TextFeature.Name, known))
            raise errors.InvalidArgument.field("features", f"takes at least one of {names}, each once")
        return {feature: known[feature] for feature in wanted}

    async def _embed(self, texts: Sequence[Text], *, deadline: Deadline, kind: Kind, model: str = "") -> list[Encoded]:
        card = self._analysis.models.pick(EMBEDDING, model)
        return await self._analysis.encoder.embed([text.content for text in texts], card, deadline, kind=kind)


def _kind(field: str, value: pb.EmbeddingKind.ValueType) -> Kind:
    return _KINDS[one_of(field, value, _KINDS)]


def _kinds(field: str, types: Sequence[pb.EntityType.ValueType]) -> frozenset[str]:
    known = set(pb.EntityType.values()) - {pb.ENTITY_TYPE_UNSPECIFIED}
    return frozenset(results.kind_of(one_of(f"{field}[{index}]", value, known)) for index, value in enumerate(types))
