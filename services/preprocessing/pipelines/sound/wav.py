"""Headers of WAV files whose samples need no decoder.

FFmpeg would wait for 64 KiB of such a file, which are seconds of speech, to see whether it is DTS in disguise.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from services.mesh.ports import AudioEncoding, AudioFormat
from services.preprocessing.pipelines.source import Source

# Format tag and bits a sample.
_ENCODINGS: Mapping[tuple[int, int], AudioEncoding] = {
    (1, 16): "linear16",
    (3, 32): "float32",
    (6, 8): "alaw",
    (7, 8): "mulaw",
}
# With more of them it matters where they stand, which is FFmpeg's business.
_MAX_CHANNELS = 2
_MAX_HEADER_BYTES = 65_536
_FMT_BYTES = 16
# From here on a size means that the writer did not know it; so does 0.
_UNKNOWN_BYTES = 0x7FFF0000


@dataclass(frozen=True, slots=True)
class Plain:
    """Samples of a WAV file. data_bytes: how many are said to follow, None for all that come."""

    audio_format: AudioFormat
    data_bytes: int | None


def known(size: int) -> int | None:
    """A size that a header gives, None where it gives none."""
    return size if 0 < size < _UNKNOWN_BYTES else None


def read_plain(source: Source) -> Plain | None:
    """Read a header up to the samples. None, with nothing read, for any other than a plain one."""
    header = bytearray(source.read_whole(12))
    audio_format: AudioFormat | None = None
    while len(header) < _MAX_HEADER_BYTES:
        start = source.read_whole(8)
        header += start
        size = int.from_bytes(start[4:], "little")
        if start[:4] == b"data":
            if audio_format is None:
                break
            return Plain(audio_format, known(size))
        if len(start) < 8 or size > _MAX_HEADER_BYTES:  # noqa: PLR2004 - the file ends
            break
        body = source.read_whole(size + size % 2)
        header += body
        if start[:4] == b"fmt ":
            audio_format = _format(body)
            if audio_format is None:
                break
    source.unread(bytes(header))
    return None


def _format(body: bytes) -> AudioFormat | None:
    if len(body) < _FMT_BYTES:
        return None
    tag, channels, rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", body)
    encoding = _ENCODINGS.get((tag, bits))
    if encoding is None or not 1 <= channels <= _MAX_CHANNELS or frame_bytes != channels * bits // 8:
        return None
    return AudioFormat(encoding, rate, channels)
