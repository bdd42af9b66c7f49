"""AnalyzeEntities."""

import json

import grpc
import numpy as np
import pytest

from maas.nlp.v1 import nlp_pb2 as pb
from maas.nlp.v1 import text_pb2
from services.mesh.ports import DetectedLanguage
from services.mesh.testing import FakePreprocessor
from services.nlp.pipelines.analysis.entities import merged
from services.nlp.pipelines.analysis.patterns import Found
from tests.failure import failure
from tests.unit.nlp.analysis import CARDS, NAMES, analysis


def spans(result):
    """Type and words of each entity."""
    return [(pb.EntityType.Name(each.type).removeprefix("ENTITY_TYPE_"), each.span.content) for each in result.entities]


async def test_names_and_patterns_in_the_order_of_the_text():
    """What a model finds has no score when the model says none; what has a pattern is certain."""
    async with analysis() as (stub, _):
        request = pb.AnalyzeEntitiesRequest(contents=["Mail ada@example.com to Ada by 2024-05-01", "nothing"])
        first, second = (await stub.AnalyzeEntities(request)).results
    assert spans(first) == [("EMAIL", "ada@example.com"), ("PERSON", "Ada"), ("DATE", "2024-05-01")]
    assert [each.HasField("score") for each in first.entities] == [True, False, True]
    assert (first.model, first.language_code) == ("names-en", "en")
    assert spans(second) == []


async def test_texts_go_to_the_model_in_batches():
    """As UTF-8, one a row, at most as many as the model takes."""
    async with analysis() as (stub, inference):
        await stub.AnalyzeEntities(pb.AnalyzeEntitiesRequest(contents=["ä", "b", "c"]))
    assert [inputs["text"].tolist() for _, inputs, _ in inference.calls] == [[["ä".encode()], [b"b"]], [[b"c"]]]


async def test_long_texts_do_not_hold_the_model_for_long():
    """No inference has more than 16,384 characters, unless it has one text."""
    many = NAMES.model_copy(update={"max_batch_size": 32})
    async with analysis(cards=(*CARDS[:3], many)) as (stub, inference):
        texts = [f"{number} {'x ' * 4000}" for number in range(5)]
        await stub.AnalyzeEntities(pb.AnalyzeEntitiesRequest(contents=[*texts, "short"]))
    assert [len(inputs["text"]) for _, inputs, _ in inference.calls] == [2, 2, 2]


@pytest.mark.parametrize("text", ["写信给ada@example.com，价格300元", "1234 ada@example.com 300元"])
async def test_where_no_model_knows_the_language_patterns_are_found(text):
    """No model is run or named, though the caller be sure of the language."""
    async with analysis() as (stub, inference):
        given = pb.AnalyzeEntitiesRequest(contents=[text], language_code="zh")
        for request in (pb.AnalyzeEntitiesRequest(contents=[text]), given):
            (result,) = (await stub.AnalyzeEntities(request)).results
            assert ("EMAIL", "ada@example.com") in spans(result)
            assert ("MONEY", "300元") in spans(result)
            assert result.model == ""
    assert inference.calls == [] or text.startswith("1234")


async def test_mixed_languages_come_back_in_order():
    """Each text has the model of its language, or none."""
    chinese = NAMES.model_copy(update={"name": "names-zh", "languages": ("zh",)})
    async with analysis(cards=(*CARDS, chinese)) as (stub, _):
        request = pb.AnalyzeEntitiesRequest(contents=["你好Ada", "hello Ada", "😀", "Ada"])
        response = await stub.AnalyzeEntities(request)
    assert [result.model for result in response.results] == ["names-zh", "names-en", "", "names-en"]
    assert [spans(result) for result in response.results] == [[("PERSON", "Ada")]] * 2 + [[]] + [[("PERSON", "Ada")]]


async def test_a_text_of_two_writings_is_read_by_both_models():
    """Each reads its own writing, and the longest names stay; the result names the model of the text's language."""
    chinese = NAMES.model_copy(update={"name": "names-zh", "languages": ("zh",)})

    def both(model, inputs):
        read[model] = inputs["text"].item().decode()
        found = {
            "names-zh": [{"begin": 0, "end": 2, "type": "PERSON", "score": 0.9}, _entity(3, 6)],
            "names-en": [_entity(3, 15)],
        }
        return {"entities": np.array([[json.dumps(found[model]).encode()]], object)}

    def _entity(begin, end):
        return {"begin": begin, "end": end, "type": "PERSON", "score": None}

    read = {}
    async with analysis(both, cards=(*CARDS, chinese)) as (stub, _):
        request = pb.AnalyzeEntitiesRequest(contents=["李明和Ada Lovelace，"])
        (result,) = (await stub.AnalyzeEntities(request)).results
    assert read == {"names-zh": "李明和Ada Lovelace，", "names-en": "   Ada Lovelace "}
    assert spans(result) == [("PERSON", "李明"), ("PERSON", "Ada Lovelace")]
    assert result.model == "names-zh"


async def test_a_model_that_is_named_must_know_a_given_language():
    """INVALID_ARGUMENT; but it answers when the language was only detected."""
    async with analysis() as (stub, _):
        request = pb.AnalyzeEntitiesRequest(contents=["你好Ada"], model="names-en")
        (result,) = (await stub.AnalyzeEntities(request)).results
        request.language_code = "zh"
        code, _, bad, _ = await failure(stub.AnalyzeEntities(request))
    assert (result.model, spans(result)) == ("names-en", [("PERSON", "Ada")])
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, "language_code")


async def test_only_the_kinds_asked_for():
    """All others are left out."""
    async with analysis() as (stub, _):
        request = pb.AnalyzeEntitiesRequest(
            contents=["Ada, ada@example.com, €5"], types=[pb.ENTITY_TYPE_MONEY, pb.ENTITY_TYPE_PERSON]
        )
        (result,) = (await stub.AnalyzeEntities(request)).results
    assert spans(result) == [("PERSON", "Ada"), ("MONEY", "€5")]


@pytest.mark.parametrize("value", [0, 99])
async def test_an_unknown_kind_is_refused(value):
    """The error names the place in the list."""
    async with analysis() as (stub, _):
        request = pb.AnalyzeEntitiesRequest(contents=["x"], types=[pb.ENTITY_TYPE_URL, value])
        code, _, bad, _ = await failure(stub.AnalyzeEntities(request))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, "types[1]")


@pytest.mark.parametrize(
    ("encoding", "begin", "end"),
    [
        (text_pb2.ENCODING_TYPE_UTF8, 10, 13),
        (text_pb2.ENCODING_TYPE_UTF16, 4, 7),
        (text_pb2.ENCODING_TYPE_UTF32, 3, 6),
    ],
)
async def test_offsets_are_in_the_caller_s_encoding(encoding, begin, end):
    """After an emoji and Chinese, in each of the three encodings."""
    chinese = NAMES.model_copy(update={"languages": ("zh",)})
    async with analysis(cards=(*CARDS[:3], chinese)) as (stub, _):
        request = pb.AnalyzeEntitiesRequest(contents=["😀你好Ada"], encoding_type=encoding)
        (result,) = (await stub.AnalyzeEntities(request)).results
    span = result.entities[0].span
    assert (span.content, span.begin_offset, span.end_offset) == ("Ada", begin, end)


@pytest.mark.parametrize(("text", "model"), [("Ada", "names-en"), ("阿达Ada", "names-zh"), ("1234 ☎", "")])
async def test_where_the_language_cannot_be_told_the_writing_decides(text, model):
    """A name alone is in no language: the model of its script is tried, and the result claims no language."""

    class Unsure(FakePreprocessor):
        async def detect_language(self, texts, *, deadline):
            return [DetectedLanguage("de", 0.3) for _ in texts]

    chinese = NAMES.model_copy(update={"name": "names-zh", "languages": ("zh",)})
    async with analysis(cards=(*CARDS, chinese), preprocessor=Unsure()) as (stub, _):
        (result,) = (await stub.AnalyzeEntities(pb.AnalyzeEntitiesRequest(contents=[text]))).results
    assert (result.model, result.language_code) == (model, "")
    assert spans(result) == ([("PERSON", "Ada")] if model else [])


async def test_pictures_beside_a_name_are_no_part_of_it():
    """Though the model thinks so."""
    reply = {"entities": np.array([[json.dumps([{"begin": 0, "end": 5, "type": "PERSON", "score": None}])]], object)}
    reply["entities"][0, 0] = reply["entities"][0, 0].encode()
    async with analysis(lambda *_: reply) as (stub, _):
        (result,) = (await stub.AnalyzeEntities(pb.AnalyzeEntitiesRequest(contents=["🎉Ada❤️ won"]))).results
    assert spans(result) == [("PERSON", "Ada")]


async def test_what_a_model_says_beyond_the_contract_does_no_harm():
    """A kind that we do not know is "other"; a span outside the text is dropped."""
    found = [
        {"begin": 0, "end": 5, "type": "PLANET", "score": 0.5},
        {"begin": 99, "end": 120, "type": "PERSON", "score": 1},
    ]
    reply = {"entities": np.array([[json.dumps(found).encode()]], object)}
    async with analysis(lambda *_: reply) as (stub, _):
        (result,) = (await stub.AnalyzeEntities(pb.AnalyzeEntitiesRequest(contents=["Venus shines"]))).results
    assert spans(result) == [("OTHER", "Venus")]
    assert result.entities[0].score == 0.5


def test_a_pattern_wins_over_a_name_that_overlaps_it():
    """However long the name is."""
    assert merged([Found(5, 9, "EMAIL")], [Found(0, 20, "ORGANIZATION"), Found(30, 33, "PERSON")]) == [
        Found(5, 9, "EMAIL"),
        Found(30, 33, "PERSON"),
    ]


def test_a_name_of_the_same_kind_may_extend_a_pattern():
    """One span from the first date to the second, instead of two."""
    whole = Found(0, 32, "DATE", None)
    assert merged([Found(8, 18, "DATE"), Found(23, 32, "DATE")], [whole]) == [whole]


def test_of_overlapping_names_the_longest_stays():
    """Of equally long ones the first."""
    names = [Found(0, 3, "PERSON"), Found(2, 8, "ORGANIZATION"), Found(10, 12, "DATE"), Found(11, 13, "TIME")]
    assert merged([], names) == [names[1], names[2]]
