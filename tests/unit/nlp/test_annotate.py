"""AnnotateText."""

import asyncio

import grpc
import pytest

from maas.nlp.v1 import nlp_pb2 as pb
from maas.nlp.v1 import text_pb2
from services.mesh import errors
from services.mesh.testing import FakeInference, FakePreprocessor
from tests.failure import failure
from tests.unit.nlp.analysis import CARDS, EMBEDDER, JUDGE, NAMES, TOPICS, analysis, answer

ALL = [
    pb.TEXT_FEATURE_SENTIMENT,
    pb.TEXT_FEATURE_CLASSIFICATION,
    pb.TEXT_FEATURE_ENTITIES,
    pb.TEXT_FEATURE_EMBEDDING,
]
PARTS = ["sentiment", "classification", "entities", "embedding"]
# Sentiment as a head, too: then three of four features stand on one embedding.
HEADS = (JUDGE.model_copy(update={"preprocess": TOPICS.preprocess}), EMBEDDER, TOPICS, NAMES)


class CountingPreprocessor(FakePreprocessor):
    """Knows how often it was asked for languages."""

    detected = 0

    async def detect_language(self, texts, *, deadline):
        self.detected += 1
        return await super().detect_language(texts, deadline=deadline)


async def test_every_feature_of_every_text():
    """Each as its own RPC gives it; options reach the feature that they are for."""
    async with analysis() as (stub, _):
        text = "wonderful Ada. Bad end, 5€"
        request = pb.AnnotateTextRequest(
            contents=[text, "x"],
            features=ALL,
            include_sentences=True,
            labels=["one", "three"],
            entity_types=[pb.ENTITY_TYPE_PERSON],
            encoding_type=text_pb2.ENCODING_TYPE_UTF8,
        )
        first, second = (await stub.AnnotateText(request)).results
        sentiment = await stub.AnalyzeSentiment(
            pb.AnalyzeSentimentRequest(
                contents=[text], include_sentences=True, encoding_type=text_pb2.ENCODING_TYPE_UTF8
            )
        )
        labels = await stub.ClassifyText(pb.ClassifyTextRequest(contents=[text], labels=["one", "three"]))
        embedding = await stub.EmbedText(pb.EmbedTextRequest(contents=[text]))
    assert first.sentiment == sentiment.results[0]
    assert first.classification == labels.results[0]
    assert first.embedding == embedding.results[0]
    assert [entity.span.content for entity in first.entities.entities] == ["Ada"]
    assert (first.language_code, first.status.code, second.language_code) == ("en", 0, "en")


async def test_only_the_features_asked_for_are_set():
    """No other model runs."""
    async with analysis() as (stub, inference):
        request = pb.AnnotateTextRequest(contents=["x"], features=[pb.TEXT_FEATURE_ENTITIES])
        (result,) = (await stub.AnnotateText(request)).results
    assert [part for part in PARTS if result.HasField(part)] == ["entities"]
    assert [model for model, _, _ in inference.calls] == ["names-en"]


async def test_the_language_is_detected_once_for_all_features():
    """In one call for all texts; and not at all when it is given."""
    preprocessor = CountingPreprocessor()
    async with analysis(preprocessor=preprocessor) as (stub, _):
        await stub.AnnotateText(pb.AnnotateTextRequest(contents=["x", "yy"], features=ALL))
        assert preprocessor.detected == 1
        await stub.AnnotateText(pb.AnnotateTextRequest(contents=["x"], features=ALL, language_code="en"))
    assert preprocessor.detected == 1


@pytest.mark.parametrize("cache_bytes", [0, 1_000_000])
async def test_features_that_stand_on_one_embedding_share_it(cache_bytes):
    """The embedding model runs once for sentiment, topics and the vector itself, whether answers are kept or not."""

    class Patient(FakeInference):
        async def infer(self, *args, **kwargs):
            await asyncio.sleep(0)
            return await super().infer(*args, **kwargs)

    inference = Patient(answer)
    async with analysis(inference=inference, cards=HEADS, cache_bytes=cache_bytes) as (stub, _):
        await stub.AnnotateText(pb.AnnotateTextRequest(contents=["one", "two two"], features=ALL))
    assert sorted(model for model, _, _ in inference.calls) == ["embedder", "judge", "names-en", "topics"]


async def test_features_run_side_by_side():
    """No model waits for another one's answer: each ends only when all have begun."""
    begun = set()
    everything = asyncio.Event()

    class Meeting(FakeInference):
        async def infer(self, model, *args, **kwargs):
            begun.add(model)
            if begun == {"embedder", "judge", "names-en"}:
                everything.set()
            await everything.wait()
            return await super().infer(model, *args, **kwargs)

    async with analysis(inference=Meeting(answer)) as (stub, _):
        response = await stub.AnnotateText(pb.AnnotateTextRequest(contents=["one"], features=ALL), timeout=5)
    assert response.results[0].status.code == 0


async def test_a_feature_that_fails_does_not_take_along_the_others():
    """It has its status at every text."""

    def broken(model, inputs):
        return errors.Exhausted("full", retry_after_seconds=1) if model == "names-en" else answer(model, inputs)

    async with analysis(broken) as (stub, _):
        response = await stub.AnnotateText(pb.AnnotateTextRequest(contents=["one", "two"], features=ALL))
    for result in response.results:
        assert result.entities.status.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        assert [getattr(result, part).status.code for part in PARTS if part != "entities"] == [0, 0, 0]


async def test_a_language_that_one_feature_s_model_does_not_know():
    """That feature says so, and the others answer."""
    async with analysis() as (stub, _):
        request = pb.AnnotateTextRequest(contents=["很好"], features=ALL, language_code="zh")
        (result,) = (await stub.AnnotateText(request)).results
    assert result.sentiment.status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert "language_code" in result.sentiment.status.message
    assert [getattr(result, part).status.code for part in PARTS[1:]] == [0, 0, 0]
    assert result.language_code == "zh"


async def test_a_bad_text_fails_alone_and_reaches_no_feature():
    """Its annotation has the status, and no part."""
    async with analysis() as (stub, inference):
        request = pb.AnnotateTextRequest(contents=["", "one", "x" * 8193], features=ALL)
        first, second, third = (await stub.AnnotateText(request)).results
    assert [result.status.code for result in (first, second, third)] == [3, 0, 3]
    assert [part for part in PARTS if first.HasField(part)] == []
    assert {len(next(iter(inputs.values()))) for _, inputs, _ in inference.calls} == {1}


async def test_when_every_text_is_bad_nothing_runs():
    """Neither detection nor a model."""
    preprocessor = CountingPreprocessor()
    async with analysis(preprocessor=preprocessor) as (stub, inference):
        response = await stub.AnnotateText(pb.AnnotateTextRequest(contents=["", ""], features=ALL))
    assert [result.status.code for result in response.results] == [3, 3]
    assert (preprocessor.detected, inference.calls) == (0, [])


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"features": []}, "features"),
        ({"features": [pb.TEXT_FEATURE_ENTITIES] * 2}, "features"),
        ({"features": [0]}, "features"),
        ({"features": [77]}, "features"),
        ({"contents": []}, "contents"),
        ({"contents": ["x"] * 65}, "contents"),
        ({"labels": ["one"]}, "labels"),
        ({"entity_types": [0]}, "entity_types[0]"),
        ({"embedding_kind": 9}, "embedding_kind"),
        ({"encoding_type": 9}, "encoding_type"),
        ({"language_code": "english please"}, "language_code"),
        ({"request_id": "7"}, "request_id"),
    ],
)
async def test_what_breaks_the_contract_is_refused(wrong, field):
    """INVALID_ARGUMENT names the field, and nothing runs."""
    async with analysis(cards=CARDS) as (stub, inference):
        request = pb.AnnotateTextRequest(**{"contents": ["x"], "features": ALL, **wrong})
        code, _, bad, _ = await failure(stub.AnnotateText(request))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    assert inference.calls == []
