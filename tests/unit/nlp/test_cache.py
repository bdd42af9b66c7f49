"""The response cache of nlp."""

import numpy as np
import pytest

from maas.nlp.v1 import nlp_pb2 as pb
from services.mesh.cache import AnswerCache
from services.mesh.deadline import Deadline
from services.mesh.testing import FakeInference, FakePreprocessor, known_models
from services.nlp.pipelines.cache import size_of
from services.nlp.pipelines.encode import Encoded, TextEncoder
from services.nlp.settings import Settings
from tests.unit.nlp.analysis import CARDS, EMBEDDER, TOPICS, analysis, answer

MUCH = 1_000_000


async def test_texts_that_were_asked_before_cost_no_inference():
    """Only the new ones of a batch go to the model; the answers are the same, in order."""
    async with analysis(cache_bytes=MUCH) as (stub, inference):
        first = await stub.EmbedText(pb.EmbedTextRequest(contents=["one", "three three three three three"]))
        again = await stub.EmbedText(pb.EmbedTextRequest(contents=["three three three three three", "four", "one"]))
    assert [len(inputs["input_ids"]) for _, inputs, _ in inference.calls] == [2, 1]
    assert (again.results[2], again.results[0]) == (first.results[0], first.results[1])
    assert again.results[0].truncated


async def test_equal_texts_of_one_call_are_computed_once():
    """Even when nothing is kept."""
    async with analysis() as (stub, inference):
        response = await stub.EmbedText(pb.EmbedTextRequest(contents=["same", "other", "same"]))
    assert [len(inputs["input_ids"]) for _, inputs, _ in inference.calls] == [2]
    assert response.results[0] == response.results[2] != response.results[1]


async def test_nothing_is_kept_without_memory():
    """With 0 bytes each call asks the model."""
    async with analysis(cache_bytes=0) as (stub, inference):
        for _ in range(2):
            await stub.EmbedText(pb.EmbedTextRequest(contents=["one"]))
    assert len(inference.calls) == 2


async def test_heads_entities_and_labels_are_kept():
    """The second round of all RPCs runs no model."""
    async with analysis(cache_bytes=MUCH) as (stub, inference):
        rounds = []
        for _ in range(2):
            rounds.append(
                [
                    await stub.AnalyzeSentiment(
                        pb.AnalyzeSentimentRequest(contents=["Fine. Bad."], include_sentences=True)
                    ),
                    await stub.ClassifyText(pb.ClassifyTextRequest(contents=["one"])),
                    await stub.ClassifyText(pb.ClassifyTextRequest(contents=["one"], labels=["a", "bb"])),
                    await stub.AnalyzeEntities(pb.AnalyzeEntitiesRequest(contents=["Ada"])),
                ]
            )
            if len(rounds) == 1:
                calls = len(inference.calls)
    assert rounds[0] == rounds[1]
    assert len(inference.calls) == calls == 5


@pytest.mark.parametrize("change", [{"version": "2"}, {"name": "other"}])
async def test_another_model_or_version_answers_anew(change):
    """What one said is not taken for what the next one says, neither of an embedding nor of a head on top of it."""
    before, after = ([card, TOPICS] for card in (EMBEDDER, EMBEDDER.model_copy(update=change)))
    head = TOPICS.model_copy(update={"preprocess": {"embedding_model": after[0].name}})
    cache = AnswerCache("nlp", MUCH, size_of)
    calls = []
    for embedder, topics in (before, (after[0], head)):
        inference = FakeInference(answer)
        encoder = TextEncoder(inference, FakePreprocessor(), await known_models(embedder, topics), cache)
        for _ in range(2):
            await encoder.embed(["one"], embedder, Deadline.after(5))
            await encoder.judge(["one"], topics, Deadline.after(5))
        calls.append([model for model, _, _ in inference.calls])
    assert calls == [["embedder", "topics"], [after[0].name, "topics"]]


async def test_a_row_that_is_kept_does_not_keep_its_batch():
    """Otherwise the cache would hold many times the bytes that it counts; and nobody can change what others read."""
    encoder = TextEncoder(
        FakeInference(answer), FakePreprocessor(), await known_models(*CARDS), AnswerCache("nlp", MUCH, size_of)
    )
    rows = await encoder.embed(["one", "three"], EMBEDDER, Deadline.after(5))
    assert [row.values.base for row in rows] == [None, None]
    assert not any(row.values.flags.writeable for row in rows)


def test_the_size_of_answers():
    """The numbers of a vector, the bytes of JSON; nothing else is kept."""
    assert size_of(Encoded(np.zeros(384, np.float32), truncated=False)) == 1536
    assert size_of(b"[]") == 2
    with pytest.raises(TypeError):
        size_of("text")


def test_the_setting(monkeypatch):
    """NLP_CACHE_BYTES, 64 MiB by itself, 0 for none; less is refused."""
    known = {
        "listen_address": "x:1",
        "metrics_address": "x:2",
        "triton_address": "x:3",
        "preprocessing_address": "x:4",
    }
    assert Settings(**known).cache_bytes == 64 * 1024 * 1024
    monkeypatch.setenv("NLP_CACHE_BYTES", "0")
    assert Settings(**known).cache_bytes == 0
    monkeypatch.setenv("NLP_CACHE_BYTES", "-1")
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        Settings(**known)
