"""NlpService: decodes, delegates, encodes."""

from __future__ import annotations

from maas.nlp.v1 import nlp_pb2 as pb
from maas.nlp.v1 import nlp_pb2_grpc
from services.mesh import errors
from services.mesh.interceptors import Context
from services.mesh.models import Models
from services.mesh.request import request_id
from services.mesh.server import budget
from services.mesh.status import to_status
from services.nlp.pipelines.encode import Encoded, TextEncoder

# Between these probabilities of "positive" a text is called neutral; the proto states them.
NEUTRAL = (0.35, 0.65)


class NlpServicer(nlp_pb2_grpc.NlpServiceServicer):
    """The RPCs of nlp."""

    def __init__(self, encoder: TextEncoder, models: Models) -> None:
        self._encoder = encoder
        self._models = models

    async def AnalyzeSentiment(
        self, request: pb.AnalyzeSentimentRequest, context: Context
    ) -> pb.AnalyzeSentimentResponse:
        """Whether texts speak well or badly."""
        echo = request_id(request)
        card = self._models.pick("sentiment-analysis", request.model)
        card.require_language(request.language_code)
        found = await self._encoder.encode(request.contents, card, "probabilities", budget(context))
        return pb.AnalyzeSentimentResponse(
            results=[_sentiment(each) for each in found], model=card.name, request_id=echo
        )

    async def EmbedText(self, request: pb.EmbedTextRequest, context: Context) -> pb.EmbedTextResponse:
        """Texts to vectors."""
        echo = request_id(request)
        card = self._models.pick("text-embedding", request.model)
        found = await self._encoder.encode(request.contents, card, "embedding", budget(context))
        results = [_embedding(each) for each in found]
        dimension = max(len(each.values) for each in results)
        return pb.EmbedTextResponse(results=results, model=card.name, dimension=dimension, request_id=echo)

    async def GetNlpConfig(self, request: pb.GetNlpConfigRequest, context: Context) -> pb.GetNlpConfigResponse:
        """The models that are ready."""
        return pb.GetNlpConfigResponse(models=[card.to_proto() for card in self._models.listing()])


def _sentiment(found: Encoded | errors.MeshError) -> pb.SentimentResult:
    """values: float32[2], the probabilities of negative and positive."""
    if isinstance(found, errors.MeshError):
        return pb.SentimentResult(status=to_status(found))
    negative, positive = (float(value) for value in found.values)
    low, high = NEUTRAL
    if low <= positive <= high:
        sentiment = pb.SENTIMENT_NEUTRAL
    else:
        sentiment = pb.SENTIMENT_POSITIVE if positive > high else pb.SENTIMENT_NEGATIVE
    return pb.SentimentResult(
        sentiment=sentiment,
        score=positive - negative,
        positive_probability=positive,
        truncated=found.truncated,
    )


def _embedding(found: Encoded | errors.MeshError) -> pb.TextEmbedding:
    if isinstance(found, errors.MeshError):
        return pb.TextEmbedding(status=to_status(found))
    return pb.TextEmbedding(values=found.values.tolist(), truncated=found.truncated)
