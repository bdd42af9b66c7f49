"""What GetNlpConfig tells, and what all RPCs that take batches do alike."""

import grpc
import pytest

from maas.nlp.v1 import conversation_pb2, nlp_pb2_grpc, summary_pb2, text_pb2, translation_pb2
from maas.nlp.v1 import nlp_pb2 as pb
from services.mesh.testing import FakeInference, FakePreprocessor, known_models, serve
from services.nlp.app import servicer
from tests.failure import failure
from tests.unit.nlp.analysis import CARDS, answer
from tests.unit.nlp.language_model import WRITER

PAIR = {"source": "en", "target": "zh", "quality": "good", "chrf": 50}
TRANSLATOR = WRITER.model_copy(update={"preprocess": {**WRITER.preprocess, "language_pairs": [PAIR]}})


async def test_the_configuration_lists_what_is_ready():
    """Models that are still loading are not listed."""
    known = await known_models(*CARDS, loading=["embedder", "topics"])
    async with serve(servicer(FakeInference(answer), FakePreprocessor(), known)) as channel:
        config = await nlp_pb2_grpc.NlpServiceStub(channel).GetNlpConfig(pb.GetNlpConfigRequest())
    assert [(model.name, model.task) for model in config.models] == [
        ("names-en", "entity-recognition"),
        ("judge", "sentiment-analysis"),
    ]


@pytest.mark.parametrize(
    ("rpc", "request_"),
    [
        ("AnalyzeSentiment", pb.AnalyzeSentimentRequest(contents=[""])),
        ("ClassifyText", pb.ClassifyTextRequest(contents=[""])),
        ("AnalyzeEntities", pb.AnalyzeEntitiesRequest(contents=[""])),
        ("EmbedText", pb.EmbedTextRequest(contents=[""])),
        ("AnnotateText", pb.AnnotateTextRequest(contents=[""], features=[pb.TEXT_FEATURE_ENTITIES])),
        ("SummarizeText", summary_pb2.SummarizeTextRequest(contents=[""])),
        ("TranslateText", translation_pb2.TranslateTextRequest(contents=[""], target_language_code="zh")),
        (
            "AnswerQuestion",
            conversation_pb2.AnswerQuestionRequest(questions=[""], passages=[text_pb2.Passage(content="x")]),
        ),
        (
            "BatchGenerateReply",
            conversation_pb2.BatchGenerateReplyRequest(requests=[conversation_pb2.GenerateReplyRequest()]),
        ),
    ],
)
async def test_a_batch_echoes_its_id_and_keeps_what_fails_apart(rpc, request_):
    """An empty item has INVALID_ARGUMENT in its own result, whatever the RPC; an id that is no UUID fails the call."""
    name = "8f14e45f-ceea-467f-a0e6-2ad52f0e1b1c"
    known = await known_models(*CARDS, TRANSLATOR)
    async with serve(servicer(FakeInference(answer), FakePreprocessor(), known)) as channel:
        call = getattr(nlp_pb2_grpc.NlpServiceStub(channel), rpc)
        request_.request_id = name
        response = await call(request_)
        request_.request_id = "7"
        code, _, bad, _ = await failure(call(request_))
    assert response.request_id == name
    assert [result.status.code for result in response.results] == [grpc.StatusCode.INVALID_ARGUMENT.value[0]]
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, "request_id")
