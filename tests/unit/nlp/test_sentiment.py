"""AnalyzeSentiment."""

import grpc
import pytest

from maas.nlp.v1 import nlp_pb2 as pb
from maas.nlp.v1 import text_pb2
from tests.failure import failure
from tests.unit.nlp.analysis import CARDS, EMBEDDER, JUDGE, analysis


async def test_sentiment_in_request_order():
    """Each text gets its own judgement, in the order of the request, neutral when neither side is clear."""
    async with analysis() as (stub, _):
        response = await stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["wonderful!", "bad", "right"]))
    assert [result.sentiment for result in response.results] == [
        pb.SENTIMENT_POSITIVE,
        pb.SENTIMENT_NEGATIVE,
        pb.SENTIMENT_NEUTRAL,
    ]
    assert response.results[1].positive_probability == pytest.approx(0.3)
    assert response.results[1].score == pytest.approx(-0.4)
    assert {result.language_code for result in response.results} == {"en"}
    assert (response.model, response.results[2].model) == ("judge", "judge")


async def test_sentences_are_judged_each():
    """Sentences come in their order with spans, scores and sides of their own; the magnitude sums them up unsigned."""
    text = "Wonderful work. Bad end. "
    async with analysis() as (stub, inference):
        request = pb.AnalyzeSentimentRequest(contents=[text, "Right."], include_sentences=True)
        first, second = (await stub.AnalyzeSentiment(request)).results
    assert [sentence.span.content for sentence in first.sentences] == ["Wonderful work.", "Bad end."]
    assert [sentence.sentiment for sentence in first.sentences] == [pb.SENTIMENT_POSITIVE, pb.SENTIMENT_NEGATIVE]
    assert [sentence.score for sentence in first.sentences] == pytest.approx([0.8, -0.4])
    assert first.magnitude == pytest.approx(1.2)
    assert first.score == pytest.approx(0.8)
    assert [sentence.span.content for sentence in second.sentences] == ["Right."]
    assert len(inference.calls) == 1


async def test_without_asking_there_are_no_sentences():
    """Neither sentences nor a magnitude."""
    async with analysis() as (stub, _):
        (result,) = (await stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["Fine. Bad."]))).results
    assert (len(result.sentences), result.magnitude) == (0, 0)


async def test_no_more_than_200_sentences_are_judged():
    """Those after them are left out."""
    async with analysis() as (stub, _):
        request = pb.AnalyzeSentimentRequest(contents=["Bad. " * 300], include_sentences=True)
        (result,) = (await stub.AnalyzeSentiment(request)).results
    assert len(result.sentences) == 200


@pytest.mark.parametrize(
    ("encoding", "begin", "end"),
    [
        (text_pb2.ENCODING_TYPE_UTF8, 14, 21),
        (text_pb2.ENCODING_TYPE_UTF16, 6, 11),
        (text_pb2.ENCODING_TYPE_UTF32, 5, 9),
        (text_pb2.ENCODING_TYPE_UNSPECIFIED, 5, 9),
    ],
)
async def test_offsets_are_in_the_caller_s_encoding(encoding, begin, end):
    """Of a text with an emoji and Chinese, in each of the three encodings."""
    async with analysis() as (stub, _):
        request = pb.AnalyzeSentimentRequest(
            contents=["😀好的。 Bad🎉"], include_sentences=True, encoding_type=encoding
        )
        (result,) = (await stub.AnalyzeSentiment(request)).results
    span = result.sentences[1].span
    assert (span.content, span.begin_offset, span.end_offset) == ("Bad🎉", begin, end)


async def test_an_unknown_encoding_is_refused():
    """A value that the contract does not have violates encoding_type."""
    async with analysis() as (stub, _):
        request = pb.AnalyzeSentimentRequest(contents=["x"], encoding_type=9)
        code, _, bad, _ = await failure(stub.AnalyzeSentiment(request))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, "encoding_type")


async def test_a_bad_text_fails_alone():
    """An empty and a too long text get a status that names them; the others are answered."""
    async with analysis() as (stub, inference):
        response = await stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["", "wonderful!", "x" * 8193]))
    codes = [result.status.code for result in response.results]
    assert codes == [3, 0, 3]
    assert response.results[1].sentiment == pb.SENTIMENT_POSITIVE
    assert "contents[2]" in response.results[2].status.message
    assert len(inference.calls[0][1]["input_ids"]) == 1


async def test_when_every_text_is_bad_there_is_no_model():
    """Nothing is asked of Triton."""
    async with analysis() as (stub, inference):
        response = await stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["", ""]))
    assert [result.status.code for result in response.results] == [3, 3]
    assert (response.model, inference.calls) == ("", [])


@pytest.mark.parametrize("contents", [[], ["x"] * 65])
async def test_the_number_of_texts_is_limited(contents):
    """No text, or more than 64, violates `contents`."""
    async with analysis() as (stub, _):
        code, _, bad, _ = await failure(stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=contents)))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, "contents")


async def test_only_emoji_is_judged_by_the_default_model():
    """Its language cannot be told, and is left empty."""
    async with analysis() as (stub, _):
        (result,) = (await stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["🎉🎉🎉"]))).results
    assert (result.status.code, result.language_code, result.model) == (0, "", "judge")


async def test_each_language_has_its_model():
    """Texts go to the default of their own language, and come back in order."""
    chinese = JUDGE.model_copy(update={"name": "judge-zh", "languages": ("zh",), "default": True})
    async with analysis(cards=(*CARDS, chinese)) as (stub, inference):
        request = pb.AnalyzeSentimentRequest(contents=["很好", "wonderful", "not 好"])
        response = await stub.AnalyzeSentiment(request)
    assert [result.model for result in response.results] == ["judge-zh", "judge", "judge-zh"]
    assert [result.language_code for result in response.results] == ["zh", "en", "zh"]
    assert sorted(len(inputs["input_ids"]) for _, inputs, _ in inference.calls) == [1, 2]


async def test_a_detected_language_that_no_model_knows_is_answered():
    """Detection may be wrong: the default model answers, and the result says what was detected."""
    async with analysis() as (stub, _):
        (result,) = (await stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["很好"]))).results
    assert (result.status.code, result.language_code, result.model) == (0, "zh", "judge")


async def test_a_given_language_the_model_does_not_know_is_refused():
    """The error lists the languages that it knows."""
    async with analysis() as (stub, _):
        request = pb.AnalyzeSentimentRequest(contents=["x"], language_code="zh")
        code, _, bad, _ = await failure(stub.AnalyzeSentiment(request))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, "language_code")
    assert "en" in bad.field_violations[0].description


@pytest.mark.parametrize("tag", ["english please", "english", "e", "中文", "en-"])
async def test_what_is_no_language_tag_is_refused(tag):
    """It violates language_code."""
    async with analysis() as (stub, _):
        request = pb.AnalyzeSentimentRequest(contents=["x"], language_code=tag)
        code, _, bad, _ = await failure(stub.AnalyzeSentiment(request))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, "language_code")


async def test_an_unknown_model_is_not_found():
    """An unknown model is NOT_FOUND, and the error lists the models that exist."""
    async with analysis() as (stub, _):
        request = pb.AnalyzeSentimentRequest(contents=["x"], model="nope")
        code, info, _, _ = await failure(stub.AnalyzeSentiment(request))
    assert code is grpc.StatusCode.NOT_FOUND
    assert (info.domain, info.reason, info.metadata["known"]) == ("maas", "MODEL_NOT_FOUND", "judge")


async def test_a_loading_model_says_when_to_come_back():
    """UNAVAILABLE with RetryInfo."""
    async with analysis(loading=["judge"]) as (stub, _):
        code, _, _, retry = await failure(stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["x"])))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert retry.retry_delay.ToMilliseconds() > 0


async def test_a_head_reads_the_embedding_that_its_card_names():
    """With the prefix of its kind; how much was read of the text is known from the embedding."""
    embedder = EMBEDDER.model_copy(
        update={"preprocess": {**EMBEDDER.preprocess, "prefixes": {"query": "q: ", "passage": "passage: "}}}
    )
    head = JUDGE.model_copy(
        update={"name": "head", "preprocess": {"embedding_model": "embedder", "prefix": "query"}, "max_batch_size": 8}
    )

    def answer(model, inputs):
        if model == "embedder":
            return {"embedding": inputs["input_ids"][:, :2] / 10 * 1.0}
        return {"probabilities": inputs["embedding"][:, :2]}

    async with analysis(answer, cards=(embedder, head)) as (stub, inference):
        request = pb.AnalyzeSentimentRequest(contents=["six666", "three four five six seven"])
        short, long = (await stub.AnalyzeSentiment(request)).results
    assert [model for model, _, _ in inference.calls] == ["embedder", "head"]
    assert short.positive_probability == pytest.approx(0.6)
    assert (short.truncated, long.truncated) == (False, True)
    assert (short.model, long.positive_probability) == ("head", pytest.approx(0.5))
