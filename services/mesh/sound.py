"""The conversions between a stream of sound in the contract and in the ports."""

from __future__ import annotations

from collections.abc import Mapping

from maas.type.v1 import media_pb2 as pb
from services.mesh import errors
from services.mesh.ports import AudioEncoding, AudioFormat
from services.mesh.request import one_of

MAX_CHUNK_BYTES = 1024 * 1024
SOURCE_HERTZ = (4_000, 192_000)
MAX_CHANNELS = 8

_ENCODINGS: Mapping[pb.AudioStreamEncoding.ValueType, AudioEncoding] = {
    pb.AUDIO_STREAM_ENCODING_UNSPECIFIED: "container",
    pb.AUDIO_STREAM_ENCODING_LINEAR16: "linear16",
    pb.AUDIO_STREAM_ENCODING_MULAW: "mulaw",
    pb.AUDIO_STREAM_ENCODING_ALAW: "alaw",
    pb.AUDIO_STREAM_ENCODING_FLOAT32: "float32",
}


def format_from_proto(field: str, message: pb.AudioStreamFormat) -> AudioFormat:
    """What the bytes of a stream mean. field: where the message stands in the request.

    Raises InvalidArgument naming the field for a rate or channels out of bounds, or beside a container.
    """
    encoding = _ENCODINGS[one_of(f"{field}.encoding", message.encoding, _ENCODINGS)]
    given = {"sample_rate_hertz": message.sample_rate_hertz, "channels": message.channels}
    if encoding == "container":
        for name, value in given.items():
            if value:
                raise errors.InvalidArgument.field(f"{field}.{name}", "is left out for a container, which tells it")
        return AudioFormat()
    channels = message.channels or 1
    low, high = SOURCE_HERTZ
    if not low <= message.sample_rate_hertz <= high:
        raise errors.InvalidArgument.field(
            f"{field}.sample_rate_hertz", f"takes {low} to {high}, got {message.sample_rate_hertz}"
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise errors.InvalidArgument.field(f"{field}.channels", f"takes 1 to {MAX_CHANNELS}, got {channels}")
    return AudioFormat(encoding, message.sample_rate_hertz, channels)


def format_to_proto(audio_format: AudioFormat) -> pb.AudioStreamFormat:
    """The same as a message."""
    encoding = next(number for number, name in _ENCODINGS.items() if name == audio_format.encoding)
    return pb.AudioStreamFormat(
        encoding=encoding,
        sample_rate_hertz=audio_format.sample_rate_hertz,
        channels=audio_format.channels,
    )
