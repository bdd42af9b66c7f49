"""NlpService: decodes, delegates, encodes. Its RPCs stand in services/nlp/rpc, one module an area."""

from __future__ import annotations

from maas.nlp.v1 import nlp_pb2 as pb
from services.mesh.call import Context
from services.nlp.pipelines.analysis.analysis import Analysis
from services.nlp.pipelines.translation.translate import Translator
from services.nlp.pipelines.writing import Writing
from services.nlp.rpc.analysis import AnalysisRpcs
from services.nlp.rpc.conversation import ConversationRpcs
from services.nlp.rpc.summary import SummaryRpcs
from services.nlp.rpc.translation import TranslationRpcs


class NlpServicer(AnalysisRpcs, TranslationRpcs, SummaryRpcs, ConversationRpcs):
    """The RPCs of nlp."""

    def __init__(
        self, analysis: Analysis, translator: Translator, writing: Writing, *, generations_at_once: int
    ) -> None:
        self._at_once = generations_at_once
        self._analysis = analysis
        self._translator = translator
        self._replies, self._answers, self._summarizer = writing.replies, writing.answers, writing.summarizer

    async def GetNlpConfig(self, request: pb.GetNlpConfigRequest, context: Context) -> pb.GetNlpConfigResponse:
        """The models that are ready."""
        return pb.GetNlpConfigResponse(models=[card.to_proto() for card in self._analysis.models.listing()])
