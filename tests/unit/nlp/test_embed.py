"""EmbedText, and what all RPCs of analysis do alike with batches, errors and deadlines."""

import asyncio

import grpc
import numpy as np
import pytest

from maas.nlp.v1 import nlp_pb2 as pb
from services.mesh import errors
from services.mesh.testing import FakeInference, FakePreprocessor
from tests.failure import failure
from tests.unit.nlp.analysis import EMBEDDER, analysis, answer


async def test_many_texts_run_in_batches_that_the_model_takes():
    """More texts than a batch holds are split, those of like length together, and answered in request order."""
    small = EMBEDDER.model_copy(update={"max_batch_size": 2})

    def lengths(_, inputs):
        return {"embedding": inputs["attention_mask"].sum(1, keepdims=True) * 1.0}

    async with analysis(lengths, cards=(small,)) as (stub, inference):
        response = await stub.EmbedText(pb.EmbedTextRequest(contents=["a b c d", "a", "a b", "a b c", "b"]))
    assert [result.values[0] for result in response.results] == [4, 1, 2, 3, 1]
    assert sorted(inputs["input_ids"].shape for _, inputs, _ in inference.calls) == [(1, 4), (2, 1), (2, 3)]


async def test_a_large_call_leaves_room_for_others():
    """At most four batches of one call are in Triton at the same time."""

    class Slow(FakeInference):
        running = most = 0

        async def infer(self, *args, **kwargs):
            self.running += 1
            self.most = max(self.most, self.running)
            for _ in range(5):
                await asyncio.sleep(0)
            self.running -= 1
            return await super().infer(*args, **kwargs)

    inference = Slow(lambda _, inputs: {"embedding": inputs["input_ids"][:, :1] * 1.0})
    single = EMBEDDER.model_copy(update={"max_batch_size": 1})
    async with analysis(cards=(single,), inference=inference) as (stub, _):
        await stub.EmbedText(pb.EmbedTextRequest(contents=[f"text {number}" for number in range(20)]))
    assert (inference.most, len(inference.calls)) == (4, 20)


async def test_a_call_that_is_given_up_begins_no_more_batches():
    """What has not been sent to the model when the caller cancels is never sent."""
    begun, ended = asyncio.Event(), asyncio.Event()

    class Stuck(FakeInference):
        async def infer(self, *args, **kwargs):
            self.calls.append(args)
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

    single = EMBEDDER.model_copy(update={"max_batch_size": 1})
    async with analysis(cards=(single,), inference=Stuck(answer)) as (stub, inference):
        call = stub.EmbedText(pb.EmbedTextRequest(contents=[f"text {number}" for number in range(20)]))
        await begun.wait()
        call.cancel()
        await ended.wait()
    assert len(inference.calls) <= 4


async def test_when_every_text_is_bad_no_model_runs():
    """Triton is not asked about nothing."""
    async with analysis() as (stub, inference):
        response = await stub.EmbedText(pb.EmbedTextRequest(contents=["", ""]))
    assert [result.status.code for result in response.results] == [3, 3]
    assert (response.dimension, inference.calls) == (0, [])


@pytest.mark.parametrize("contents", [[], ["x"] * 65])
async def test_the_number_of_texts_is_limited(contents):
    """No text, or more than 64, violates `contents`."""
    async with analysis() as (stub, _):
        code, _, bad, _ = await failure(stub.EmbedText(pb.EmbedTextRequest(contents=contents)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert bad.field_violations[0].field == "contents"


async def test_a_cut_text_is_marked():
    """A text longer than the model reads is answered and says so."""
    async with analysis() as (stub, _):
        response = await stub.EmbedText(pb.EmbedTextRequest(contents=["one two three four five", "one"]))
    assert [result.truncated for result in response.results] == [True, False]
    assert response.dimension == 2
    assert list(response.results[0].values) == pytest.approx([np.cos(0.3), np.sin(0.3)])


@pytest.mark.parametrize(
    ("kind", "first"),
    [
        (pb.EMBEDDING_KIND_UNSPECIFIED, len("passage:")),
        (pb.EMBEDDING_KIND_PASSAGE, len("passage:")),
        (pb.EMBEDDING_KIND_QUERY, len("query:")),
    ],
)
async def test_the_kind_decides_the_prefix(kind, first):
    """A model that tells questions from passages gets the prefix of the kind, which is a passage by itself."""
    prefixes = {"query": "query: ", "passage": "passage: "}
    e5 = EMBEDDER.model_copy(update={"preprocess": {**EMBEDDER.preprocess, "prefixes": prefixes}})
    async with analysis(cards=(e5,)) as (stub, inference):
        await stub.EmbedText(pb.EmbedTextRequest(contents=["one"], kind=kind))
    assert inference.calls[0][1]["input_ids"].tolist() == [[first, 3]]


async def test_a_text_of_the_largest_size_is_taken_with_its_prefix():
    """What preprocessing reads is no larger than it allows, and a text that lost its end for that says so."""

    class Strict(FakePreprocessor):
        async def tokenize(self, texts, **kwargs):
            assert all(len(text.encode()) <= 8192 for text in texts)
            return await super().tokenize(texts, **kwargs)

    e5 = EMBEDDER.model_copy(update={"preprocess": {**EMBEDDER.preprocess, "prefixes": {"passage": "passage: "}}})
    async with analysis(cards=(e5,), preprocessor=Strict()) as (stub, _):
        response = await stub.EmbedText(pb.EmbedTextRequest(contents=["é" * 4096, "é" * 4000]))
    assert [(result.status.code, result.truncated) for result in response.results] == [(0, True), (0, False)]


async def test_an_unknown_kind_is_refused():
    """A value that the contract does not have violates `kind`."""
    async with analysis() as (stub, _):
        code, _, bad, _ = await failure(stub.EmbedText(pb.EmbedTextRequest(contents=["x"], kind=7)))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, "kind")


async def test_what_preprocessing_refuses_reaches_the_caller():
    """An error of preprocessing keeps its code and its details."""
    error = errors.Exhausted("too many texts", retry_after_seconds=2)
    async with analysis(preprocessor=FakePreprocessor(error)) as (stub, _):
        code, info, _, retry = await failure(stub.EmbedText(pb.EmbedTextRequest(contents=["x"])))
    assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
    assert retry.retry_delay.ToMilliseconds() == 2000


async def test_a_bug_shows_the_caller_nothing_of_the_code():
    """An unexpected exception is INTERNAL with a plain sentence, without its own text."""

    def broken(model, inputs):
        raise RuntimeError("/etc/secret")

    async with analysis(broken) as (stub, _):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.EmbedText(pb.EmbedTextRequest(contents=["x"]))
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(caught.value)


async def test_the_caller_s_deadline_goes_down_to_the_model():
    """The model is given no more time than the caller gave, which gRPC rounds up by a hundredth on its way."""
    async with analysis() as (stub, inference):
        await stub.EmbedText(pb.EmbedTextRequest(contents=["x"]), timeout=3)
    assert 2 < inference.calls[0][2] <= 3.03


async def test_a_request_id_is_echoed_and_checked():
    """A UUID comes back; anything else violates request_id."""
    name = "8f14e45f-ceea-467f-a0e6-2ad52f0e1b1c"
    async with analysis() as (stub, _):
        assert (await stub.EmbedText(pb.EmbedTextRequest(contents=["x"], request_id=name))).request_id == name
        code, _, bad, _ = await failure(stub.EmbedText(pb.EmbedTextRequest(contents=["x"], request_id="7")))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, "request_id")
