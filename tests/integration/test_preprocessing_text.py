"""Sentences and languages of PreprocessingService over a real socket: each text alone, odd ones, a missing model."""

import uuid

import grpc
import pytest

from maas.preprocessing.v1 import preprocessing_pb2 as pb
from maas.preprocessing.v1 import preprocessing_pb2_grpc
from services.mesh.testing import serve
from services.preprocessing.app import servicer
from services.preprocessing.pipelines.workers import Workers
from tests.integration.preproc_service import pipelines, refused


@pytest.fixture
async def channel():
    with Workers(threads=2, max_waiting=8) as workers:
        async with serve(servicer(await pipelines(workers))) as channel:
            yield channel


@pytest.fixture
def stub(channel):
    return preprocessing_pb2_grpc.PreprocessingServiceStub(channel)


async def test_segment_text(stub):
    """Each text has its own sentences, in code points; a text that breaks a rule fails alone."""
    echo = str(uuid.uuid4())
    response = await stub.SegmentText(
        pb.SegmentTextRequest(
            contents=["\U0001f600 Dr. Smith. Yes!", "", "\u4f60\u597d\u3002\u518d\u89c1\u3002", "  "],
            language_codes=["en", "", "zh-Hans", ""],
            request_id=echo,
        )
    )
    places = [[(each.begin, each.end) for each in result.sentences] for result in response.results]
    assert places == [[(0, 12), (13, 17)], [], [(0, 3), (3, 6)], []]
    assert [result.status.code for result in response.results] == [0, grpc.StatusCode.INVALID_ARGUMENT.value[0], 0, 0]
    assert response.results[1].status.message == "contents[1]: takes 1 to 131072 UTF-8 bytes, got 0"
    assert response.request_id == echo


async def test_the_largest_documents(stub):
    """The largest legal request is answered, with sentences that are all bounded."""
    response = await stub.SegmentText(pb.SegmentTextRequest(contents=["\u597d" * 43_690] * 16), timeout=30)
    assert {len(result.sentences) for result in response.results} == {22}
    code, (_, bad) = await refused(stub.SegmentText(pb.SegmentTextRequest(contents=["x" * 131_072] * 17)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in bad.field_violations] == ["contents"]


async def test_detect_language(stub):
    """Each text has its own language, also one of emoji or none at all; the model that was asked is named."""
    response = await stub.DetectLanguage(
        pb.DetectLanguageRequest(
            contents=["hello", "\u4eca\u5929\u5929\u6c14\u5f88\u597d", "", "\U0001f44d", "\u0441" * 70_000]
        )
    )
    assert [result.language_code for result in response.results] == ["en", "zh", "", "", ""]
    assert response.results[0].confidence == 0.75
    assert [(each.language_code, each.confidence) for each in response.results[0].alternatives] == [("pt", 0.125)]
    assert [bool(result.status.code) for result in response.results] == [False, False, True, False, True]
    assert response.model == "lid"


async def test_without_its_model_the_rest_goes_on():
    """While the model is missing, a text that needs it is UNAVAILABLE with RetryInfo; nothing else depends on it."""
    with Workers(threads=1, max_waiting=8) as workers:
        made = servicer(await pipelines(workers, loading=["lid"]))
        assert made.ready()
        async with serve(made) as channel:
            stub = preprocessing_pb2_grpc.PreprocessingServiceStub(channel)
            code, (info, retry) = await refused(stub.DetectLanguage(pb.DetectLanguageRequest(contents=["hello"])))
            assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "MODEL_LOADING")
            assert retry.retry_delay.ToMilliseconds() > 0
            chinese = await stub.DetectLanguage(pb.DetectLanguageRequest(contents=["\u4f60\u597d"]))
            assert (chinese.results[0].language_code, chinese.model) == ("zh", "")
            assert (
                len((await stub.SegmentText(pb.SegmentTextRequest(contents=["One. Two."]))).results[0].sentences) == 2
            )
            assert not (await stub.GetPreprocessingConfig(pb.GetPreprocessingConfigRequest())).models


async def test_a_model_that_fails(stub):
    """A full queue is RESOURCE_EXHAUSTED with RetryInfo, and an unknown model is NOT_FOUND with those that exist."""
    code, (_, retry) = await refused(stub.DetectLanguage(pb.DetectLanguageRequest(contents=["busy"])))
    assert (code, retry.retry_delay.seconds) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 1)
    code, (info,) = await refused(stub.DetectLanguage(pb.DetectLanguageRequest(contents=["hello"], model="other")))
    assert (code, info.metadata["known"]) == (grpc.StatusCode.NOT_FOUND, "lid")


ODD_TEXTS = {
    "emoji": "\U0001f44d\U0001f3fd\u200d\U0001f525" * 100,
    "scripts": "a \u4f60 \u0430 \u0905 \ud55c \u3042 \u05d0 \u0e01",
    "white space": " \t\n\u3000",
    "controls": "\0\x01\x1b[31m\u202e\ufeff",
    "one long word": "x" * 8192,
    "marks": "\u0301" * 4096,
}


@pytest.mark.parametrize("kind", ODD_TEXTS)
async def test_odd_texts_are_answered(stub, kind):
    """Whatever a legal text holds, each RPC of texts has an answer for it."""
    contents = [ODD_TEXTS[kind]] * 64
    assert len((await stub.NormalizeText(pb.NormalizeTextRequest(contents=contents))).contents) == 64
    tokens = await stub.TokenizeText(pb.TokenizeTextRequest(contents=contents, tokenizer="words", max_tokens=8192))
    assert tokens.input_ids.shape[0] == 64
    for method, request in (
        (stub.SegmentText, pb.SegmentTextRequest(contents=contents)),
        (stub.DetectLanguage, pb.DetectLanguageRequest(contents=contents)),
    ):
        results = (await method(request)).results
        assert [result.status.code for result in results] == [0] * 64
