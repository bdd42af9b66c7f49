"""What the language service answers to input that nobody should send, through the real gateway."""

from __future__ import annotations

import http.client
import json
from collections.abc import AsyncIterator

import grpc.aio
import pytest
from google.protobuf.json_format import ParseDict
from google.rpc import code_pb2

from maas.nlp.v1 import conversation_pb2, nlp_pb2, nlp_pb2_grpc, summary_pb2, translation_pb2
from tests.failure import failure

MEGABYTE = "a" * 1_000_000
EMOJI = "😀🎉 👍🏽 👨‍👩‍👧"
MIXED = "I love 北京 and Москва, だいすき! שלום"
STRANGE = [EMOJI, MIXED, "\u0000\u0001", "   ", "\u202eevil\u202c override", "1234567890"]
TOO_MANY = ["label " + str(number) for number in range(10_000)]

# RPC -> its request's message, and one request that is right.
RPCS = {
    "AnalyzeSentiment": (nlp_pb2.AnalyzeSentimentRequest, {"contents": ["Fine."]}),
    "ClassifyText": (nlp_pb2.ClassifyTextRequest, {"contents": ["Fine."]}),
    "AnalyzeEntities": (nlp_pb2.AnalyzeEntitiesRequest, {"contents": ["Fine."]}),
    "EmbedText": (nlp_pb2.EmbedTextRequest, {"contents": ["Fine."]}),
    "AnnotateText": (nlp_pb2.AnnotateTextRequest, {"contents": ["Fine."], "features": [1]}),
    "TranslateText": (translation_pb2.TranslateTextRequest, {"contents": ["Fine."], "target_language_code": "pt"}),
    "SummarizeText": (summary_pb2.SummarizeTextRequest, {"contents": ["Fine."], "options": {"method": 1}}),
    "AnswerQuestion": (
        conversation_pb2.AnswerQuestionRequest,
        {"questions": ["Why?"], "passages": [{"content": "Because."}]},
    ),
    "GenerateReply": (conversation_pb2.GenerateReplyRequest, {"messages": [{"role": 2, "content": "Hi."}]}),
    "BatchGenerateReply": (conversation_pb2.BatchGenerateReplyRequest, {"requests": []}),
}
OF_TEXTS = ["AnalyzeSentiment", "ClassifyText", "AnalyzeEntities", "EmbedText", "AnnotateText", "TranslateText"]

# RPC, what is changed in the right request, and the field that the error must name.
WRONG = [
    *((rpc, {"contents": []}, "contents") for rpc in [*OF_TEXTS, "SummarizeText"]),
    *((rpc, {"contents": ["x"] * 65}, "contents") for rpc in [*OF_TEXTS, "SummarizeText"]),
    *((rpc, {"request_id": "7"}, "request_id") for rpc in RPCS),
    ("AnalyzeSentiment", {"language_code": "english please"}, "language_code"),
    ("AnalyzeSentiment", {"encoding_type": 9}, "encoding_type"),
    ("ClassifyText", {"labels": ["only one"]}, "labels"),
    ("ClassifyText", {"labels": TOO_MANY}, "labels"),
    ("ClassifyText", {"labels": ["same", "same"]}, "labels"),
    ("ClassifyText", {"labels": ["right", ""]}, "labels"),
    ("ClassifyText", {"max_results": 101}, "max_results"),
    ("ClassifyText", {"min_score": 2}, "min_score"),
    ("AnalyzeEntities", {"types": [99]}, "types"),
    ("AnnotateText", {"features": []}, "features"),
    ("AnnotateText", {"features": [1, 1]}, "features"),
    ("EmbedText", {"kind": 7}, "kind"),
    ("TranslateText", {"target_language_code": ""}, "target_language_code"),
    ("TranslateText", {"target_language_code": "tlh", "source_language_code": "en"}, "target_language_code"),
    ("TranslateText", {"do_not_translate": ["x"] * 101}, "do_not_translate"),
    ("TranslateText", {"glossary": [{"source_term": "", "target_term": "x"}]}, "glossary"),
    ("SummarizeText", {"options": {"max_sentences": 21}}, "max_sentences"),
    ("SummarizeText", {"options": {"method": 1, "style": 3}}, "style"),
    ("AnswerQuestion", {"questions": []}, "questions"),
    ("AnswerQuestion", {"passages": []}, "passages"),
    ("AnswerQuestion", {"passages": [{"content": "a", "id": "x"}, {"content": "b", "id": "x"}]}, "passages"),
    ("GenerateReply", {"messages": []}, "messages"),
    ("GenerateReply", {"messages": [{"role": 3, "content": "Hello."}]}, "messages"),
    ("GenerateReply", {"parameters": {"temperature": 3}}, "temperature"),
    ("GenerateReply", {"parameters": {"max_tokens": 100_000}}, "max_tokens"),
    ("GenerateReply", {"parameters": {"stop_sequences": ["x"] * 5}}, "stop_sequences"),
    ("GenerateReply", {"parameters": {"response_json_schema": "{not json"}}, "response_json_schema"),
    ("GenerateReply", {"passages": [{"content": ""}]}, "passages"),
    ("GenerateReply", {"canned_replies": [{"question": "", "reply": "x"}]}, "canned_replies"),
    ("BatchGenerateReply", {"requests": []}, "requests"),
]


@pytest.fixture
async def nlp(mesh) -> AsyncIterator[nlp_pb2_grpc.NlpServiceStub]:
    """Through the gateway."""
    async with grpc.aio.insecure_channel(mesh.address) as channel:
        yield nlp_pb2_grpc.NlpServiceStub(channel)


def ask(nlp, rpc: str, **changes: object):
    """The right request with some fields changed."""
    message, right = RPCS[rpc]
    return getattr(nlp, rpc)(ParseDict({**right, **changes}, message()), timeout=120)


@pytest.mark.parametrize(("rpc", "change", "field"), WRONG, ids=lambda value: str(value)[:30])
async def test_a_wrong_field_is_named(nlp, rpc, change, field):
    """The call fails with INVALID_ARGUMENT and a violation of that field."""
    code, _, bad, _ = await failure(ask(nlp, rpc, **change))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert any(field in violation.field for violation in bad.field_violations), bad


@pytest.mark.parametrize("rpc", OF_TEXTS)
@pytest.mark.parametrize("text", ["", MEGABYTE], ids=["empty", "1 MB"])
async def test_a_text_of_the_wrong_size_fails_alone(nlp, rpc, text):
    """The right text beside it has its answer, in its place."""
    answer = await ask(nlp, rpc, contents=[text, "This film was a pleasure from beginning to end."])
    assert answer.results[0].status.code == code_pb2.INVALID_ARGUMENT
    assert "contents[0]" in answer.results[0].status.message
    assert not answer.results[1].HasField("status")


@pytest.mark.parametrize("rpc", OF_TEXTS)
@pytest.mark.parametrize("text", STRANGE, ids=ascii)
async def test_strange_texts_are_answered(nlp, rpc, text):
    """Emoji, mixed scripts, control characters, blanks and digits are texts too; the service takes no harm."""
    answer = await ask(nlp, rpc, contents=[text])
    assert len(answer.results) == 1
    assert answer.results[0].status.code in (code_pb2.OK, code_pb2.INVALID_ARGUMENT)
    assert not (await ask(nlp, rpc)).results[0].HasField("status")


@pytest.mark.parametrize("rpc", RPCS)
def test_invalid_utf_8_in_json_is_the_caller_s_mistake(mesh, rpc):
    """A body that is not UTF-8 is refused with HTTP 400."""
    path = f"/v1/nlp:{rpc[0].lower()}{rpc[1:]}"
    connection = http.client.HTTPConnection(mesh.address, timeout=30)
    body = b'{"contents": ["caf\xff\xfe"], "questions": ["\xff"], "messages": [{"content": "\xff"}]}'
    connection.request("POST", path, body, {"content-type": "application/json"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    assert response.status == 400
    assert answer["code"] == code_pb2.INVALID_ARGUMENT
