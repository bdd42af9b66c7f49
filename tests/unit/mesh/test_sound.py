"""The format of a stream of sound, in the contract and in the ports."""

import pytest

from maas.type.v1 import media_pb2 as pb
from services.mesh import errors
from services.mesh.ports import AudioFormat
from services.mesh.sound import format_from_proto, format_to_proto

LINEAR16 = pb.AUDIO_STREAM_ENCODING_LINEAR16


def read(**fields):
    return format_from_proto("config.audio_format", pb.AudioStreamFormat(**fields))


def violation(**fields):
    with pytest.raises(errors.InvalidArgument) as caught:
        read(**fields)
    (found,) = caught.value.violations
    return found.field, found.description


def test_nothing_said():
    """Then the bytes are a container, which tells the rest."""
    assert read() == AudioFormat()
    assert read().encoding == "container"


def test_mono_unless_said():
    """Bare samples have one channel when none is given."""
    assert read(encoding=LINEAR16, sample_rate_hertz=16_000) == AudioFormat("linear16", 16_000, 1)


@pytest.mark.parametrize("encoding", list(pb.AudioStreamEncoding.values()))
def test_every_encoding(encoding):
    """Each encoding of the contract has a word in the ports, and comes back as the same message."""
    bare = encoding != pb.AUDIO_STREAM_ENCODING_UNSPECIFIED
    message = pb.AudioStreamFormat(encoding=encoding, sample_rate_hertz=8_000 * bare, channels=2 * bare)
    assert format_to_proto(format_from_proto("format", message)) == message


@pytest.mark.parametrize(("name", "value"), [("sample_rate_hertz", 8_000), ("channels", 1)])
def test_what_a_container_tells_itself(name, value):
    """A rate or channels beside it might contradict it, so they are refused."""
    assert violation(**{name: value}) == (f"config.audio_format.{name}", "is left out for a container, which tells it")


@pytest.mark.parametrize("hertz", [0, 3_999, 192_001])
def test_absurd_rates(hertz):
    """The error names the field, the limits and what came; a rate left out is zero."""
    field, description = violation(encoding=LINEAR16, sample_rate_hertz=hertz)
    assert field == "config.audio_format.sample_rate_hertz"
    assert description == f"takes 4000 to 192000, got {hertz}"


@pytest.mark.parametrize("hertz", [4_000, 192_000])
def test_the_limits_of_rates(hertz):
    """They belong to what is taken."""
    assert read(encoding=LINEAR16, sample_rate_hertz=hertz).sample_rate_hertz == hertz


def test_absurd_channels():
    """Eight are taken, nine are not."""
    assert read(encoding=LINEAR16, sample_rate_hertz=48_000, channels=8).channels == 8
    field, description = violation(encoding=LINEAR16, sample_rate_hertz=48_000, channels=9)
    assert (field, description) == ("config.audio_format.channels", "takes 1 to 8, got 9")


def test_an_encoding_that_nobody_knows():
    """A number from a newer contract is refused by its field."""
    field, _ = violation(encoding=99, sample_rate_hertz=16_000)
    assert field == "config.audio_format.encoding"
