"""Opens sound that a stranger sent, whether a whole recording or a stream that still comes."""

from __future__ import annotations

from typing import BinaryIO, Protocol

import av
import av.container

from services.mesh import errors
from services.preprocessing.pipelines.containers import Container

MAX_CHANNELS = 8
SOURCE_HERTZ = (4_000, 192_000)

# FFmpeg's decoders that may run.
_DECODERS = (
    *("aac", "alac", "flac", "mp3", "mp3float", "opus", "vorbis", "pcm_alaw", "pcm_mulaw", "pcm_u8"),
    *("pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le"),
)
_OPTIONS = {
    "codec_whitelist": ",".join(_DECODERS),
    # No protocol, not even that of files: a demuxer that follows names, were it ever reached, gets nowhere.
    "protocol_whitelist": "",
    # Otherwise FFmpeg reads megabytes of a WAV file to see whether its samples are DTS in disguise.
    "max_probe_packets": "1",
}
# FFmpeg's own default.
_PROBED_BYTES = 5_000_000


class Readable(Protocol):
    """What FFmpeg reads from."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes, empty at the end."""
        ...


def open_container(
    file: Readable | BinaryIO, container: Container, *, field: str, probed_bytes: int = _PROBED_BYTES
) -> av.container.InputContainer:
    """The sound with its headers read. FFmpeg can open nothing beside it, and run no decoder beside those above.

    field: its name in errors. probed_bytes: read at most to learn about the sound. Raises InvalidArgument.
    """
    try:
        return av.open(
            file,
            "r",
            format=container.demuxer,
            container_options={**_OPTIONS, "probesize": str(probed_bytes)},
            metadata_errors="replace",
            io_open=_refuse,
        )
    except Exception:  # noqa: BLE001 - hostile bytes make PyAV raise ValueError, OverflowError and others
        raise errors.InvalidArgument.field(field, f"begins like {container.name}, but is damaged") from None


def _refuse(_url: str, _flags: int, _options: dict[str, str]) -> BinaryIO:
    """What FFmpeg is told when a file names another one."""
    raise PermissionError("a recording may not name other files")


def sound_stream(container: av.container.InputContainer, *, field: str) -> av.AudioStream:
    """The stream of sound to be decoded. Raises InvalidArgument for none, another codec, or an absurd kind."""
    stream = container.streams.best("audio")
    if not isinstance(stream, av.AudioStream):
        raise errors.InvalidArgument.field(field, "holds no sound")
    decoder = stream.codec_context
    if decoder is None or decoder.name not in _DECODERS:
        raise errors.InvalidArgument.field(field, "has a codec other than PCM, FLAC, ALAC, Vorbis, Opus, MP3 or AAC")
    check_kind(decoder.sample_rate, decoder.layout.nb_channels, field=field)
    decoder.thread_count = 1
    return stream


def check_kind(sample_rate_hertz: int, channels: int, *, field: str) -> None:
    """Raise InvalidArgument for a rate or channels out of bounds."""
    low, high = SOURCE_HERTZ
    if not low <= sample_rate_hertz <= high:
        raise errors.InvalidArgument.field(field, f"takes {low} to {high} samples a second, got {sample_rate_hertz}")
    if not 1 <= channels <= MAX_CHANNELS:
        raise errors.InvalidArgument.field(field, f"takes 1 to {MAX_CHANNELS} channels, got {channels}")
