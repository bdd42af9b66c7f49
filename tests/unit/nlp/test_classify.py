"""ClassifyText."""

import grpc
import numpy as np
import pytest

from maas.nlp.v1 import nlp_pb2 as pb
from services.nlp.pipelines.analysis.classify import _sentence
from tests.failure import failure
from tests.unit.nlp.analysis import CARDS, EMBEDDER, TOPICS, analysis


async def test_the_label_nearest_in_meaning_comes_first():
    """The scores of all labels add up to 1; equally long texts and labels mean the same to the fake."""
    async with analysis() as (stub, _):
        request = pb.ClassifyTextRequest(contents=["abcd", "abcdefgh"], labels=["long-one", "word", "x"])
        first, second = (await stub.ClassifyText(request)).results
    assert [label.label for label in first.labels] == ["word", "x", "long-one"]
    assert second.labels[0].label == "long-one"
    assert sum(label.score for label in first.labels) == pytest.approx(1)
    assert first.labels[0].score == pytest.approx(
        1 / sum(np.exp((np.cos(difference / 10) - 1) / 0.05) for difference in (0, 3, 4)), abs=1e-4
    )
    assert (first.model, first.language_code) == ("embedder", "en")


async def test_labels_go_to_the_model_once():
    """One inference for all texts, and one for all labels."""
    async with analysis() as (stub, inference):
        await stub.ClassifyText(pb.ClassifyTextRequest(contents=["a", "bb", "ccc"], labels=["dddd", "eeeee"]))
    assert [len(inputs["input_ids"]) for _, inputs, _ in inference.calls] == [3, 2]


async def test_the_catalog_says_how_labels_are_put():
    """Templates and temperature are the card's; texts are queries, and labels passages."""
    options = {
        "template": {"en": "{label} it is", "zh": "这是{label}"},
        "temperature": 1.0,
    }
    prefixes = {"query": "query: ", "passage": "pass: "}
    card = EMBEDDER.model_copy(
        update={"preprocess": {**EMBEDDER.preprocess, "zero_shot": options, "prefixes": prefixes}}
    )
    async with analysis(cards=(card,)) as (stub, inference):
        request = pb.ClassifyTextRequest(contents=["text"], labels=["sport", "体育"])
        (result,) = (await stub.ClassifyText(request)).results
    rows = [[row[row > 0].tolist() for row in inputs["input_ids"]] for _, inputs, _ in inference.calls]
    assert [sorted(each) for each in rows] == [[[6, 4]], [[5, 4], [5, 5, 2, 2]]]
    assert sum(label.score for label in result.labels) == pytest.approx(1)


@pytest.mark.parametrize(
    ("label", "language", "sentence"),
    [
        ("sport", "en", "It is sport."),
        ("Sport", "de", "Es ist Sport."),
        ("sport", "fr", "It is sport."),
        ("sport", "zh", "It is sport."),
        ("体育", "en", "这是体育。"),
        ("体育", "zh", "这是体育。"),
        ("sport", "", "It is sport."),
        ("{label}", "en", "It is {label}."),
    ],
)
def test_a_label_is_put_in_the_language_of_the_text_or_its_own(label, language, sentence):
    """English where there is no template; Chinese characters are not put into an English sentence, nor the reverse."""
    templates = {"en": "It is {label}.", "de": "Es ist {label}.", "zh": "这是{label}。"}
    assert _sentence(label, language, templates) == sentence


async def test_without_a_model_the_best_measured_one_answers():
    """Each text goes to the embedding model with the highest figure for its language that reads the labels."""
    english = EMBEDDER.model_copy(update={"name": "for-en", "metrics": {"zero_shot_accuracy_en": 0.9}})
    many = EMBEDDER.model_copy(
        update={
            "name": "for-all",
            "languages": ("en", "zh"),
            "metrics": {"zero_shot_accuracy_en": 0.7, "zero_shot_accuracy_zh": 0.6},
        }
    )
    async with analysis(cards=(*CARDS, english, many)) as (stub, _):
        labels = ["one", "three"]
        response = await stub.ClassifyText(pb.ClassifyTextRequest(contents=["text", "文字"], labels=labels))
        chinese = await stub.ClassifyText(pb.ClassifyTextRequest(contents=["text"], labels=["体育", "trade"]))
        named = await stub.ClassifyText(pb.ClassifyTextRequest(contents=["文字"], labels=labels, model="embedder"))
        code, _, bad, _ = await failure(
            stub.ClassifyText(
                pb.ClassifyTextRequest(contents=["文字"], labels=labels, model="embedder", language_code="zh")
            )
        )
    assert [result.model for result in response.results] == ["for-en", "for-all"]
    assert [result.model for result in chinese.results] == ["for-all"]
    assert [result.model for result in named.results] == ["embedder"]
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, "language_code")


async def test_a_measured_model_must_know_a_given_language():
    """A figure for a language makes no model answer that was not made for it."""
    wrong = EMBEDDER.model_copy(update={"metrics": {"zero_shot_accuracy_zh": 0.9}})
    async with analysis(cards=(wrong,)) as (stub, _):
        request = pb.ClassifyTextRequest(contents=["文字"], labels=["a", "b"], language_code="zh")
        code, _, bad, _ = await failure(stub.ClassifyText(request))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, "language_code")


async def test_without_labels_a_trained_model_answers():
    """With its own labels, the likeliest first."""
    async with analysis() as (stub, _):
        (result,) = (await stub.ClassifyText(pb.ClassifyTextRequest(contents=["one two three four five"]))).results
    assert [label.label for label in result.labels] == ["trade", "sport", "weather"]
    assert result.labels[0].score == pytest.approx(0.7)
    assert (result.model, result.truncated) == ("topics", True)


async def test_results_are_limited_in_number_and_score():
    """Five labels by itself, or as many as asked for; those below the score are left out."""
    labels = [character * length for length, character in enumerate("abcdefg", 1)]
    async with analysis() as (stub, _):
        ask = stub.ClassifyText
        assert len((await ask(pb.ClassifyTextRequest(contents=["x"], labels=labels))).results[0].labels) == 5
        all_of_them = await ask(pb.ClassifyTextRequest(contents=["x"], labels=labels, max_results=100))
        likely = await ask(pb.ClassifyTextRequest(contents=["x"], max_results=2, min_score=0.5))
    assert len(all_of_them.results[0].labels) == 7
    assert [label.label for label in likely.results[0].labels] == ["trade"]


@pytest.mark.parametrize(
    ("labels", "field"),
    [
        (["only"], "labels"),
        ([f"label {number}" for number in range(101)], "labels"),
        ([f"label {number}" for number in range(10_000)], "labels"),
        (["good", " GOOD "], "labels[1]"),
        (["good", "  "], "labels[1]"),
        (["x" * 101, "good"], "labels[0]"),
    ],
)
async def test_labels_that_no_model_takes_are_refused(labels, field):
    """One, more than 100, the same twice, an empty and a long one: the field is named, and nothing runs."""
    async with analysis() as (stub, inference):
        code, _, bad, _ = await failure(stub.ClassifyText(pb.ClassifyTextRequest(contents=["x"], labels=labels)))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    assert inference.calls == []


@pytest.mark.parametrize(
    ("limits", "field"), [({"max_results": 101}, "max_results"), ({"min_score": 1.5}, "min_score")]
)
async def test_limits_out_of_range_are_refused(limits, field):
    """The error names the field."""
    async with analysis() as (stub, _):
        code, _, bad, _ = await failure(stub.ClassifyText(pb.ClassifyTextRequest(contents=["x"], **limits)))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, field)


async def test_a_bad_text_fails_alone():
    """It has its own status; a head and the embedding below it see only the others."""
    async with analysis() as (stub, inference):
        response = await stub.ClassifyText(pb.ClassifyTextRequest(contents=["x", "", "yy"]))
    assert [result.status.code for result in response.results] == [0, 3, 0]
    assert [len(next(iter(inputs.values()))) for _, inputs, _ in inference.calls] == [2, 2]


async def test_a_head_without_its_embedding_model_is_not_ready():
    """While that is loading the call is UNAVAILABLE and names it."""
    async with analysis(cards=(EMBEDDER, TOPICS), loading=["embedder"]) as (stub, _):
        code, info, _, _ = await failure(stub.ClassifyText(pb.ClassifyTextRequest(contents=["x"])))
    assert (code, info.metadata["model"]) == (grpc.StatusCode.UNAVAILABLE, "embedder")
