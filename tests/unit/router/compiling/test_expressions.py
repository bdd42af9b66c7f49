"""Expressions, and requests built from them."""

import datetime as dt

import pytest

from maas.nlp.v1 import nlp_pb2
from maas.router.v1 import router_pb2 as pb
from maas.speech.v1 import speech_pb2, synthesis_pb2
from maas.type.v1 import model_pb2
from maas.vision.v1 import vision_pb2
from services.mesh import errors
from services.router.compiling.expressions import (
    BOOL,
    DOUBLE,
    DYN,
    INPUT_TYPES,
    STRING,
    Computed,
    ExpressionError,
    Straight,
    Vocabulary,
    empty,
    item_type,
    list_of,
    map_of,
    message_type,
    names,
    unified,
)
from services.router.compiling.requests import RequestTemplate
from services.router.pipelines.graph import Kind

BYTES = INPUT_TYPES[Kind.DATA]
WORDS = Vocabulary(
    {
        "inputs.photo": BYTES,
        "inputs.word": STRING,
        "inputs.count": DOUBLE,
        "inputs.sure": BOOL,
        "pieces": list_of(BYTES),
        "texts": map_of(STRING),
        "failed.look": BOOL,
        "look": message_type(vision_pb2.ClassifyImageResponse.DESCRIPTOR),
        "say": message_type(synthesis_pb2.SynthesizeSpeechResponse.DESCRIPTOR),
        "ask": message_type(speech_pb2.RecognizeRequest.DESCRIPTOR),
        "values": message_type(pb.RunGraphResponse.DESCRIPTOR),
        "model": message_type(model_pb2.ModelInfo.DESCRIPTOR),
    }
)
SCOPE = {
    "inputs.photo": b"\xff\xd8\x00\x01",
    "inputs.word": "hi",
    "inputs.count": 3.0,
    "inputs.sure": True,
    "pieces": [b"\x00\x01", b"\x02"],
    "failed.look": False,
    "look": vision_pb2.ClassifyImageResponse(labels=[{"name": "espresso", "score": 0.75}, {"name": "cup"}]),
    "say": synthesis_pb2.SynthesizeSpeechResponse(duration={"seconds": 2}, audio_content=b"\x00\x00"),
}


def template(message, structure):
    def problem(path, error):
        return ValueError(f"{path}: {error}")

    return RequestTemplate(message.DESCRIPTOR, structure, WORDS, problem)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("inputs.word + '!'", "hi!"),
        ("inputs.count * 2.0", 6.0),
        ("inputs.sure ? 1 : 2", 1),
        ("failed.look ? 1 : 2", 2),
        ("look.labels.map(label, label.name).join(', ')", "espresso, cup"),
        ("look.labels.map(label, label.score > 0.5)", [True, False]),
        ("look.labels[0]", vision_pb2.Label(name="espresso", score=0.75)),
        ("has(say.duration) && !has(look.model)", True),
        ("say.duration", dt.timedelta(seconds=2)),
        ("say.duration // how long", dt.timedelta(seconds=2)),
        ("math.least(size(inputs.word), 1)", 1),
        ("{'a': inputs.word}.a", "hi"),
    ],
)
def test_values(source, value):
    """Texts, numbers, truth values, lists, messages and durations come out as Python has them."""
    assert WORDS.compile(source).evaluate(SCOPE) == value


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("inputs.photo + b'x'", b"\xff\xd8\x00\x01x"),
        ("size(inputs.photo)", 4),
        ("true ? inputs.photo : b''", b"\xff\xd8\x00\x01"),
        ("[inputs.photo]", [b"\xff\xd8\x00\x01"]),
        ("{'a': inputs.photo}", {"a": b"\xff\xd8\x00\x01"}),
        ("pieces", [b"\x00\x01", b"\x02"]),
        ("pieces.map(piece, size(piece))", [2, 1]),
        ("size(say.audio_content)", 2),
    ],
)
def test_bytes_are_whole(source, value):
    """Bytes go through expressions to their end, zeros and all, and are bytes when they come out."""
    found = WORDS.compile(source).evaluate(SCOPE)
    assert found == value
    assert not any(isinstance(each, bytearray) for each in (found if isinstance(found, list) else [found]))


@pytest.mark.parametrize(
    ("source", "scope"),
    [
        ("inputs.word + '!'", {"inputs.word": "a\0b"}),
        ("texts.a", {"texts": {"a": "a\0b"}}),
        ("size(texts)", {"texts": {"a\0b": "a"}}),
    ],
)
def test_a_text_that_would_be_cut_is_refused(source, scope):
    """The library ends a text at a NUL: rather an error than half of it."""
    with pytest.raises(errors.InvalidArgument, match="NUL character") as caught:
        WORDS.compile(source).evaluate(scope)
    assert caught.value.reason == "TEXT_WITH_NUL"


def test_only_what_an_expression_names_is_looked_at():
    """What else is in the scope, large or strange, costs nothing and need not be there."""
    expression = WORDS.compile("inputs.count > 1.0 && 'photos' != 'say it'.trim()")
    assert "inputs.photo" not in expression.variables
    assert expression.evaluate({"inputs.count": 3.0, "inputs.photo": object()})


@pytest.mark.parametrize("source", ["inputs.word", ".inputs.word", "inputs . word", "[1].map(word, inputs.word)[0]"])
def test_however_a_variable_is_written(source):
    """It is found in the scope."""
    assert WORDS.compile(source).evaluate({"inputs.word": "hi"}) == "hi"


def test_an_expression_without_a_value_is_an_internal_error_that_names_it():
    """An index beyond the end of a list names the expression, and not what was in the list."""
    expression = WORDS.compile("look.labels[5].name")
    with pytest.raises(errors.Internal, match=r"look\.labels\[5\]\.name") as caught:
        expression.evaluate(SCOPE)
    assert caught.value.reason == "EXPRESSION_FAILED"
    assert "espresso" not in caught.value.message


@pytest.mark.parametrize("source", ["inputs.photo", " inputs.photo\n", "say.audio_content", "ask.audio.content"])
def test_bytes_are_not_copied(source):
    """A path to bytes hands on the very object that it leads to, or the message's own bytes."""
    ask = speech_pb2.RecognizeRequest(audio={"content": b"\xff\xd8"})
    expression = WORDS.compile(source)
    assert isinstance(expression, Straight)
    value = expression.evaluate({**SCOPE, "ask": ask})
    assert type(value) is bytes
    assert source.strip() != "inputs.photo" or value is SCOPE["inputs.photo"]


@pytest.mark.parametrize(
    "source", ["values.outputs.a.data", "true ? inputs.photo : b''", "inputs.word", "pieces[0]", "say.duration"]
)
def test_other_paths_are_left_to_cel(source):
    """A path through a map, an expression or a path to something else is CEL's."""
    assert isinstance(WORDS.compile(source), Computed)


def test_a_map_of_messages_means_to_cel_what_it_says():
    """A key of a map can be selected like a field."""
    answer = pb.RunGraphResponse(outputs={"a": pb.Value(data=b"x")})
    assert WORDS.compile("values.outputs.a.data").evaluate({"values": answer}) == b"x"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("hear.text + inputs.word", {"hear", "inputs.word"}),
        ("inputs . word", {"inputs.word"}),
        ("failed.hear ? 'judge' : \"judge\"", {"failed.hear"}),
        ("hear.a // don't use judge\n + say.b + 'x'", {"hear", "say"}),
        ("'http://x' + hear.a", {"hear"}),
        ("'''it's''' + hear.a", {"hear"}),
        (r"'\'' + hear.a + '\''", {"hear"}),
        ("hear.list.filter(x, x > 1)", {"hear", "x"}),
        (".hear.x", {"hear"}),
        ("[.hear.x, f(a).b, [c].d, {'e': 1}.f, ''.g]", {"hear", "f", "a", "c"}),
    ],
)
def test_names_in_an_expression(source, found):
    """Texts in quotes, comments and fields are no names."""
    assert names(source) == found


def test_one_type_of_several_ways():
    """An empty list is a list of anything; whole numbers and others are two things."""
    texts = list_of(STRING)
    assert unified(DYN, texts).name() == unified(texts, DYN).name() == "LIST<STRING>"
    assert unified(list_of(DYN), texts).name() == unified(texts, list_of(DYN)).name() == "LIST<STRING>"
    assert unified(list_of(list_of(DYN)), list_of(texts)).name() == "LIST<LIST<STRING>>"
    assert unified(list_of(DYN), STRING) is None
    assert unified(DOUBLE, WORDS.compile("1").type) is None
    label = message_type(vision_pb2.Label.DESCRIPTOR)
    assert unified(label, message_type(model_pb2.ModelInfo.DESCRIPTOR)) is None
    assert unified(label, label).name() == "maas.vision.v1.Label"


def test_what_a_list_has():
    """Items of lists have their type; what is no list has none."""
    assert item_type(list_of(map_of(STRING))).name() == "MAP<STRING, STRING>"
    assert item_type(message_type(vision_pb2.Label.DESCRIPTOR)) is None
    assert item_type(DYN) is None


def test_the_empty_message():
    """It is of the message's own class, and its fields can be used."""
    kind = message_type(vision_pb2.ClassifyImageResponse.DESCRIPTOR)
    assert empty(kind) == vision_pb2.ClassifyImageResponse()
    assert WORDS.compile("size(look.labels)").evaluate({"look": empty(kind)}) == 0
    assert empty(map_of(STRING)) == {}


def test_a_syntax_error_is_one_line():
    """What CEL says of an expression fits into a sentence."""
    with pytest.raises(ExpressionError) as caught:
        WORDS.compile("1 +")
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_told():
    """The whole name, for who knows what it may have meant."""
    with pytest.raises(ExpressionError) as caught:
        WORDS.compile("inputs.sound + 1")
    assert caught.value.unknown.startswith("inputs")


def test_a_request_is_built_from_its_leaves():
    """Nested fields, lists, numbers and truth values of YAML, and bytes end up where the structure says."""
    request = template(
        speech_pb2.RecognizeRequest,
        {"audio": {"content": "inputs.photo"}, "language_code": "inputs.word", "enable_word_time_offsets": True},
    ).build(SCOPE)
    assert request == speech_pb2.RecognizeRequest(
        audio={"content": b"\xff\xd8\x00\x01"}, language_code="hi", enable_word_time_offsets=True
    )
    request = template(
        vision_pb2.ClassifyImageRequest, {"max_results": "int(inputs.count)", "min_score": 0.5, "image": {}}
    ).build(SCOPE)
    assert request == vision_pb2.ClassifyImageRequest(max_results=3, min_score=0.5, image={})
    assert request.HasField("image")
    request = template(nlp_pb2.AnalyzeEntitiesRequest, {"types": "[maas.nlp.v1.EntityType.ENTITY_TYPE_URL]"}).build({})
    assert list(request.types) == [nlp_pb2.ENTITY_TYPE_URL]


def test_a_request_is_new_each_time():
    """What is built for one item is not seen in that of another."""
    made = template(speech_pb2.RecognizeRequest, {"audio": {"content": "inputs.photo"}})
    first = made.build(SCOPE)
    assert made.build({"inputs.photo": b"other"}).audio.content == b"other"
    assert first.audio.content == SCOPE["inputs.photo"]


def test_an_empty_field_of_a_oneof_is_set():
    """Empty bytes are sent as given, so that the service says what is wrong with them."""
    request = template(speech_pb2.RecognizeRequest, {"audio": {"content": "inputs.photo"}}).build({"inputs.photo": b""})
    assert request.audio.WhichOneof("source") == "content"


def test_bytes_for_a_text_do_not_fit():
    """A straight path is checked against its field like any expression."""
    with pytest.raises(ValueError, match=r"request\.language_code: expected type of field .* 'string'"):
        template(speech_pb2.RecognizeRequest, {"language_code": "inputs.photo"})


def test_an_expression_stays_in_its_field():
    """Brackets of its own and a comment at its end do not reach out of it."""
    made = template(speech_pb2.RecognizeRequest, {"language_code": "(inputs.word) // the word"})
    assert made.build(SCOPE).language_code == "hi"
    with pytest.raises(ValueError, match="Syntax error"):
        template(speech_pb2.RecognizeRequest, {"language_code": '"en"), model: ("x"'})
