"""The nlp service over a real socket, with faked ports."""

from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest

from maas.nlp.v1 import nlp_pb2 as pb
from maas.nlp.v1 import nlp_pb2_grpc
from services.mesh import errors
from services.mesh.models import ModelCard
from services.mesh.testing import FakeInference, FakePreprocessor, known_models, serve
from services.nlp.app import servicer
from tests.failure import failure

SENTIMENT = ModelCard(
    name="judge",
    task="sentiment-analysis",
    summary="Judges.",
    languages=("en",),
    preprocess={"tokenizer": "words", "max_tokens": 4},
)
EMBEDDING = ModelCard(
    name="embedder",
    task="text-embedding",
    summary="Embeds.",
    preprocess={"tokenizer": "words", "max_tokens": 4},
)


def answer(model, inputs):
    """Texts whose first word is long are good."""
    if model == "embedder":
        return {"embedding": np.tile(np.float32([0.6, 0.8]), (len(inputs["input_ids"]), 1))}
    good = np.clip(inputs["input_ids"][:, 0] / 10, 0, 1).astype(np.float32)
    return {"probabilities": np.stack([1 - good, good], axis=1)}


@asynccontextmanager
async def nlp(answer=answer, preprocessor=None, **models):
    inference = FakeInference(answer)
    known = await known_models(SENTIMENT, EMBEDDING, **models)
    async with serve(servicer(inference, preprocessor or FakePreprocessor(), known)) as channel:
        yield nlp_pb2_grpc.NlpServiceStub(channel), inference


async def test_sentiment_in_request_order():
    """Each text gets its own judgement, in the order of the request, neutral when neither side is clear."""
    async with nlp() as (stub, _):
        response = await stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["wonderful!", "bad", "right"]))
    assert [result.sentiment for result in response.results] == [
        pb.SENTIMENT_POSITIVE,
        pb.SENTIMENT_NEGATIVE,
        pb.SENTIMENT_NEUTRAL,
    ]
    assert response.results[1].positive_probability == pytest.approx(0.3)
    assert response.results[1].score == pytest.approx(-0.4)
    assert response.model == "judge"


async def test_a_bad_text_fails_alone():
    """An empty and a too long text get a status that names them; the others are answered."""
    async with nlp() as (stub, inference):
        response = await stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["", "wonderful!", "x" * 8193]))
    codes = [result.status.code for result in response.results]
    assert codes == [3, 0, 3]
    assert response.results[1].sentiment == pb.SENTIMENT_POSITIVE
    assert "contents[2]" in response.results[2].status.message
    assert len(inference.calls[0][1]["input_ids"]) == 1


async def test_many_texts_run_in_batches_that_the_model_takes():
    """More texts than a batch holds are split, those of like length together, and answered in request order."""
    small = EMBEDDING.model_copy(update={"name": "small", "max_batch_size": 2})
    inference = FakeInference(lambda _, inputs: {"embedding": inputs["attention_mask"].sum(1, keepdims=True) * 1.0})
    models = await known_models(SENTIMENT, small)
    async with serve(servicer(inference, FakePreprocessor(), models)) as channel:
        request = pb.EmbedTextRequest(contents=["a b c d", "a", "a b", "a b c", "b"])
        response = await nlp_pb2_grpc.NlpServiceStub(channel).EmbedText(request)
    assert [result.values[0] for result in response.results] == [4, 1, 2, 3, 1]
    assert sorted(inputs["input_ids"].shape for _, inputs, _ in inference.calls) == [(1, 4), (2, 1), (2, 3)]


async def test_when_every_text_is_bad_no_model_runs():
    """Triton is not asked about nothing."""
    async with nlp() as (stub, inference):
        response = await stub.EmbedText(pb.EmbedTextRequest(contents=["", ""]))
    assert [result.status.code for result in response.results] == [3, 3]
    assert inference.calls == []


@pytest.mark.parametrize("contents", [[], ["x"] * 65])
async def test_the_number_of_texts_is_limited(contents):
    """No text, or more than 64, violates `contents`."""
    async with nlp() as (stub, _):
        code, _, bad, _ = await failure(stub.EmbedText(pb.EmbedTextRequest(contents=contents)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert bad.field_violations[0].field == "contents"


async def test_a_cut_text_is_marked():
    """A text longer than the model reads is answered and says so."""
    async with nlp() as (stub, _):
        response = await stub.EmbedText(pb.EmbedTextRequest(contents=["one two three four five", "one"]))
    assert [result.truncated for result in response.results] == [True, False]
    assert response.dimension == 2
    assert list(response.results[0].values) == pytest.approx([0.6, 0.8])


async def test_an_unknown_model_is_not_found():
    """An unknown model is NOT_FOUND, and the error lists the models that exist."""
    async with nlp() as (stub, _):
        request = pb.AnalyzeSentimentRequest(contents=["x"], model="nope")
        code, info, _, _ = await failure(stub.AnalyzeSentiment(request))
    assert code is grpc.StatusCode.NOT_FOUND
    assert (info.domain, info.reason, info.metadata["known"]) == ("maas", "MODEL_NOT_FOUND", "judge")


async def test_a_language_the_model_does_not_know_is_refused():
    """The error lists the languages that it knows."""
    async with nlp() as (stub, _):
        request = pb.AnalyzeSentimentRequest(contents=["x"], language_code="zh")
        code, _, bad, _ = await failure(stub.AnalyzeSentiment(request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "en" in bad.field_violations[0].description


async def test_a_loading_model_says_when_to_come_back():
    """UNAVAILABLE with RetryInfo."""
    async with nlp(loading=["judge"]) as (stub, _):
        code, _, _, retry = await failure(stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["x"])))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert retry.retry_delay.ToMilliseconds() > 0


async def test_what_preprocessing_refuses_reaches_the_caller():
    """An error of preprocessing keeps its code and its details."""
    error = errors.Exhausted("too many texts", retry_after_seconds=2)
    async with nlp(preprocessor=FakePreprocessor(error)) as (stub, _):
        code, info, _, retry = await failure(stub.EmbedText(pb.EmbedTextRequest(contents=["x"])))
    assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
    assert retry.retry_delay.ToMilliseconds() == 2000


async def test_a_bug_shows_the_caller_nothing_of_the_code():
    """An unexpected exception is INTERNAL with a plain sentence, without its own text."""

    def broken(model, inputs):
        raise RuntimeError("/etc/secret")

    async with nlp(broken) as (stub, _):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.EmbedText(pb.EmbedTextRequest(contents=["x"]))
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(caught.value)


async def test_the_caller_s_deadline_goes_down_to_the_model():
    """The model is given no more time than the caller gave."""
    async with nlp() as (stub, inference):
        await stub.EmbedText(pb.EmbedTextRequest(contents=["x"]), timeout=3)
    assert 0 < inference.calls[0][2] <= 3


async def test_a_request_id_is_echoed_and_checked():
    """A UUID comes back; anything else violates request_id."""
    name = "8f14e45f-ceea-467f-a0e6-2ad52f0e1b1c"
    async with nlp() as (stub, _):
        assert (await stub.EmbedText(pb.EmbedTextRequest(contents=["x"], request_id=name))).request_id == name
        code, _, bad, _ = await failure(stub.EmbedText(pb.EmbedTextRequest(contents=["x"], request_id="7")))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, "request_id")


async def test_the_configuration_lists_what_is_ready():
    """Models that are still loading are not listed."""
    async with nlp(loading=["embedder"]) as (stub, _):
        config = await stub.GetNlpConfig(pb.GetNlpConfigRequest())
    assert [(model.name, model.task) for model in config.models] == [("judge", "sentiment-analysis")]
