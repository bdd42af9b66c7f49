"""Values of the contract, of Python and of CEL."""

import datetime as dt
import math

import pytest
from google.protobuf.duration_pb2 import Duration

from maas.router.v1 import router_pb2 as pb
from maas.vision.v1 import vision_pb2
from services.mesh import errors
from services.router.pipelines.graph import Input, Kind
from services.router.values import MAX_ITEM_TEXT_BYTES, read_inputs, read_item, to_value


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
    assert to_value(vision_pb2.Label(name="cup")).message.TypeName() == "maas.vision.v1.Label"
    unpacked = Duration()
    assert to_value(dt.timedelta(milliseconds=1500)).message.Unpack(unpacked)
    assert unpacked == Duration(seconds=1, nanos=500_000_000)


DECLARED = {
    "photo": Input(kind=Kind.DATA, summary="A photo."),
    "count": Input(kind=Kind.NUMBER, summary="How many.", default=2),
    "sure": Input(kind=Kind.FLAG, summary="Whether.", default=False),
}
SOUND = Input(kind=Kind.DATA, summary="The sound.", stream=True)


def test_inputs_are_read_with_their_defaults():
    """An input that has a default may be left out; whole numbers are numbers like others; streams come later."""
    values = read_inputs({**DECLARED, "sound": SOUND}, {"photo": pb.Value(data=b"x")})
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
        ({"photo": pb.Value(data=b""), "sound": pb.Value(data=b"")}, "inputs.sound", "is a stream; send its items"),
    ],
)
def test_a_wrong_input_is_named(given, field, says):
    """Missing, unknown and of another kind are violations of that input."""
    with pytest.raises(errors.InvalidArgument) as caught:
        read_inputs({**DECLARED, "sound": SOUND}, given)
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


def test_items_of_a_stream():
    """Each is of the kind that was declared; another is named."""
    assert read_item("sound", SOUND, pb.Value(data=b"x")) == b"x"
    with pytest.raises(errors.InvalidArgument) as caught:
        read_item("sound", SOUND, pb.Value(text="x"))
    assert caught.value.violations[0].field == "inputs.sound"


def test_a_text_with_a_zero_character_is_refused_by_name():
    """Expressions would cut it off; the violation names the input and what to do."""
    declared = {"text": Input(kind="text", summary="s")}
    with pytest.raises(errors.InvalidArgument) as caught:
        read_inputs(declared, {"text": pb.Value(text="a\0b")})
    assert caught.value.violations[0].field == "inputs.text"
    assert "zero character" in caught.value.message
    with pytest.raises(errors.InvalidArgument, match="zero character"):
        read_item("text", Input(kind="text", summary="s", stream=True), pb.Value(text="\0"))


def test_the_texts_of_a_stream_are_bounded():
    """A text of a mebibyte is an item, a longer one names the limit."""
    declared = Input(kind="text", summary="s", stream=True)
    assert len(read_item("text", declared, pb.Value(text="a" * MAX_ITEM_TEXT_BYTES))) == MAX_ITEM_TEXT_BYTES
    with pytest.raises(errors.InvalidArgument, match=str(MAX_ITEM_TEXT_BYTES)):
        read_item("text", declared, pb.Value(text="a" * (MAX_ITEM_TEXT_BYTES + 1)))
