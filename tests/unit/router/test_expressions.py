"""Expressions, requests built from them, and values in and out."""

import datetime as dt
import math

import pytest
from google.protobuf.duration_pb2 import Duration

from maas.router.v1 import router_pb2 as pb
from maas.speech.v1 import speech_pb2, synthesis_pb2
from maas.type.v1 import model_pb2
from maas.vision.v1 import vision_pb2
from services.mesh import errors
from services.router.expressions import Computed, ExpressionError, Straight, Vocabulary
from services.router.pipelines.graph import Input, Kind
from services.router.requests import RequestTemplate
from services.router.values import read_inputs, to_value

KINDS = {"photo": Kind.DATA, "word": Kind.TEXT, "count": Kind.NUMBER, "sure": Kind.FLAG}
SCOPE = {"inputs.photo": b"\xff\xd8", "inputs.word": "hi", "inputs.count": 3.0, "inputs.sure": True}
WORDS = Vocabulary(
    KINDS,
    {
        "look": vision_pb2.ClassifyImageResponse.DESCRIPTOR,
        "say": synthesis_pb2.SynthesizeSpeechResponse.DESCRIPTOR,
        "ask": speech_pb2.RecognizeRequest.DESCRIPTOR,
        "values": pb.RunGraphResponse.DESCRIPTOR,
        "model": model_pb2.ModelInfo.DESCRIPTOR,
    },
)


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
        ("inputs.photo + b'x'", b"\xff\xd8x"),
        ("look.labels.map(label, label.name).join(', ')", "espresso, cup"),
        ("look.labels.map(label, label.score > 0.5)", [True, False]),
        ("look.labels[0]", vision_pb2.Label(name="espresso", score=0.75)),
        ("say.duration", dt.timedelta(seconds=2)),
        ("say.duration // how long", dt.timedelta(seconds=2)),
        ("math.least(size(inputs.word), 1)", 1),
    ],
)
def test_values_of_expressions(source, value):
    """Texts, numbers, truth values, bytes, lists, messages and durations come out as Python has them."""
    look = vision_pb2.ClassifyImageResponse(labels=[{"name": "espresso", "score": 0.75}, {"name": "cup"}])
    say = synthesis_pb2.SynthesizeSpeechResponse(duration={"seconds": 2})
    assert WORDS.compile(source).evaluate({**SCOPE, "look": look, "say": say}) == value


def test_an_expression_without_a_value_is_an_internal_error_that_names_it():
    """An index beyond the end of a list names the expression, and not what was in the list."""
    expression = WORDS.compile("look.labels[5].name")
    with pytest.raises(errors.Internal, match=r"look\.labels\[5\]\.name") as caught:
        expression.evaluate({**SCOPE, "look": vision_pb2.ClassifyImageResponse()})
    assert caught.value.reason == "EXPRESSION_FAILED"


@pytest.mark.parametrize("source", ["inputs.photo", " inputs.photo\n", "say.audio_content", "ask.audio.content"])
def test_bytes_are_not_copied(source):
    """A path to bytes hands on the very object that it leads to, or the message's own bytes."""
    scope = {
        **SCOPE,
        "say": synthesis_pb2.SynthesizeSpeechResponse(audio_content=b"\xff\xd8"),
        "ask": speech_pb2.RecognizeRequest(audio={"content": b"\xff\xd8"}),
    }
    expression = WORDS.compile(source)
    assert isinstance(expression, Straight)
    value = expression.evaluate(scope)
    assert value == b"\xff\xd8"
    assert source.strip() != "inputs.photo" or value is SCOPE["inputs.photo"]


@pytest.mark.parametrize("source", ["values.outputs.a.data", "true ? inputs.photo : b''", "inputs.word"])
def test_other_paths_are_left_to_cel(source):
    """A path through a map, an expression or a path to something else is CEL's."""
    assert isinstance(WORDS.compile(source), Computed)


def test_a_map_of_messages_means_to_cel_what_it_says():
    """A key of a map can be selected like a field."""
    answer = pb.RunGraphResponse(outputs={"a": pb.Value(data=b"x")})
    assert WORDS.compile("values.outputs.a.data").evaluate({**SCOPE, "values": answer}) == b"x"


def test_which_inputs_an_expression_uses():
    """Only what it needs to compile counts, wherever it stands, and a text in quotes does not."""
    assert WORDS.uses("[1, 2].exists(x, inputs.count > 1.0)", "count")
    assert not WORDS.uses("'inputs.count' + inputs.word", "count")


def test_a_request_is_built_from_its_leaves():
    """Nested fields, lists, numbers and truth values of YAML, and bytes end up where the structure says."""
    request = template(
        speech_pb2.RecognizeRequest,
        {
            "audio": {"content": "inputs.photo"},
            "language_code": "inputs.word",
            "enable_word_time_offsets": True,
        },
    ).build(SCOPE)
    assert request == speech_pb2.RecognizeRequest(
        audio={"content": b"\xff\xd8"}, language_code="hi", enable_word_time_offsets=True
    )
    request = template(
        vision_pb2.ClassifyImageRequest, {"max_results": "int(inputs.count)", "min_score": 0.5, "image": {}}
    ).build(SCOPE)
    assert request == vision_pb2.ClassifyImageRequest(max_results=3, min_score=0.5, image={})
    assert request.HasField("image")


def test_an_empty_field_of_a_oneof_is_set():
    """Empty bytes are sent as given, so that the service says what is wrong with them."""
    request = template(speech_pb2.RecognizeRequest, {"audio": {"content": "inputs.photo"}}).build({"inputs.photo": b""})
    assert request.audio.WhichOneof("source") == "content"


def test_bytes_for_a_text_do_not_fit():
    """A straight path is checked against its field like any expression."""
    with pytest.raises(ValueError, match=r"request\.language_code: expected type of field .* 'string'"):
        template(speech_pb2.RecognizeRequest, {"language_code": "inputs.photo"})


def test_a_syntax_error_is_one_line():
    """What CEL says of an expression fits into a sentence."""
    with pytest.raises(ExpressionError) as caught:
        WORDS.compile("1 +")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("plain", "value"),
    [
        ("a", pb.Value(text="a")),
        (b"a", pb.Value(data=b"a")),
        (True, pb.Value(flag=True)),
        (3, pb.Value(number=3)),
        (0.5, pb.Value(number=0.5)),
        ([1, [True]], pb.Value(list={"values": [{"number": 1}, {"list": {"values": [{"flag": True}]}}]})),
    ],
)
def test_plain_values(plain, value):
    """Each kind of Python value has its kind in the contract; a truth value is no number."""
    assert to_value(plain) == value


def test_messages_are_packed():
    """A message and a duration travel with their type."""
    label = vision_pb2.Label(name="cup")
    assert to_value(label).message.TypeName() == "maas.vision.v1.Label"
    unpacked = Duration()
    assert to_value(dt.timedelta(milliseconds=1500)).message.Unpack(unpacked)
    assert unpacked == Duration(seconds=1, nanos=500_000_000)


DECLARED = {
    "photo": Input(kind=Kind.DATA, summary="A photo."),
    "count": Input(kind=Kind.NUMBER, summary="How many.", default=2),
    "sure": Input(kind=Kind.FLAG, summary="Whether.", default=False),
}


def test_inputs_are_read_with_their_defaults():
    """An input that has a default may be left out; whole numbers are numbers like others."""
    values = read_inputs(DECLARED, {"photo": pb.Value(data=b"x")})
    assert values == {"photo": b"x", "count": 2.0, "sure": False}
    assert isinstance(values["count"], float)


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ({}, "inputs.photo", "is missing; give it as data"),
        ({"photo": pb.Value()}, "inputs.photo", "must be given as data"),
        ({"photo": pb.Value(text="x")}, "inputs.photo", "must be given as data"),
        ({"photo": pb.Value(data=b""), "count": pb.Value(flag=True)}, "inputs.count", "must be given as number"),
        ({"photo": pb.Value(data=b""), "sure": pb.Value(number=1)}, "inputs.sure", "must be given as flag"),
        ({"photo": pb.Value(data=b""), "foto": pb.Value()}, "inputs.foto", "it takes: photo, count, sure"),
    ],
)
def test_a_wrong_input_is_named(given, field, says):
    """Missing, unknown and of another kind are violations of that input."""
    with pytest.raises(errors.InvalidArgument) as caught:
        read_inputs(DECLARED, given)
    (violation,) = caught.value.violations
    assert violation.field == field
    assert says in violation.description


def test_what_is_told_back_of_unknown_names_is_bounded():
    """Errors travel in small trailers, so long and many names are cut."""
    given = {f"{number}{'x' * 100}": pb.Value() for number in range(100)} | {"photo": pb.Value(data=b"")}
    with pytest.raises(errors.InvalidArgument) as caught:
        read_inputs(DECLARED, given)
    assert len(caught.value.message) < 2000


def test_numbers_without_a_value_pass_as_they_are():
    """What a number means is the node's matter, NaN too."""
    number = read_inputs(DECLARED, {"photo": pb.Value(data=b""), "count": pb.Value(number=math.nan)})["count"]
    assert math.isnan(number)
