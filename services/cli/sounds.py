"""Sound on the command line: a file, or a pipe that may be live, with or without a header."""

from __future__ import annotations

import os
import stat
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from maas.type.v1.media_pb2 import AudioStreamEncoding, AudioStreamFormat

_CHUNK_BYTES = 32 * 1024
_MAX_HEADER_BYTES = 1024 * 1024
# What programs that write to a pipe put for a length that they do not know yet: arecord writes two gigabytes.
_OPEN_LENGTH = 0x7FFF0000
_HEADERLESS = (".raw", ".pcm", ".s16", ".ul", ".ulaw", ".mulaw", ".al", ".alaw", ".f32")


class Encoding(StrEnum):
    """How samples without a header are stored."""

    LINEAR16 = "linear16"
    MULAW = "mulaw"
    ALAW = "alaw"
    FLOAT32 = "float32"


_SAMPLE_BYTES = {Encoding.LINEAR16: 2, Encoding.MULAW: 1, Encoding.ALAW: 1, Encoding.FLOAT32: 4}
# Format tag and bits of a sample in a WAV file -> the same without its header.
_WAV = {(1, 16): Encoding.LINEAR16, (7, 8): Encoding.MULAW, (6, 8): Encoding.ALAW, (3, 32): Encoding.FLOAT32}
_EXTENSIBLE = 0xFFFE

Raw = Annotated[
    int, typer.Option(min=0, metavar="HERTZ", help="The sound has no header, and so many samples a second.")
]
RawEncoding = Annotated[Encoding, typer.Option("--encoding", help="With --raw: how a sample is stored.")]
Channels = Annotated[int, typer.Option(min=1, help="With --raw: how many channels, interleaved.")]


@dataclass(frozen=True)
class Sound:
    """A sound to be sent. Its first bytes were read.

    format: unset for a container. bytes_per_second: 0 when nobody knows. limit: bytes that belong to it, or None.
    """

    format: AudioStreamFormat
    bytes_per_second: int
    head: bytes
    limit: int | None
    read: Callable[[], bytes]

    def chunks(self) -> Iterator[bytes]:
        """All of it, as it comes."""
        left = self.limit
        chunk = self.head or self.read()
        while chunk and left != 0:
            if left is not None:
                chunk = chunk[:left]
                left -= len(chunk)
            yield chunk
            chunk = self.read()


def open_sound(file: BinaryIO, raw: int, encoding: Encoding, channels: int) -> Sound:
    """A sound as the options say. A WAV file loses its header, so that a stream of it can be resumed.

    What is empty, what cannot be streamed, and headerless files without --raw are wrong usage.
    """
    read = reader(file)
    suffix = Path(file.name).suffix.lower() if isinstance(getattr(file, "name", None), str) else ""
    if raw:
        return _headerless(encoding, raw, channels, read)
    if suffix in _HEADERLESS:
        raise typer.BadParameter(f"a {suffix} file does not tell its format: give --raw and its samples a second")
    head = _at_least(12, b"", read)
    if not head:
        raise typer.BadParameter("the sound is empty")
    if head[4:8] == b"ftyp":
        raise typer.BadParameter("MP4 and M4A cannot be streamed; maas speech recognize takes them whole")
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return _wav(head, read)
    return Sound(AudioStreamFormat(), 0, head, None, read)


def _headerless(
    encoding: Encoding,
    hertz: int,
    channels: int,
    read: Callable[[], bytes],
    *,
    head: bytes = b"",
    limit: int | None = None,
) -> Sound:
    number = AudioStreamEncoding.Value(f"AUDIO_STREAM_ENCODING_{encoding.name}")
    found = AudioStreamFormat(encoding=number, sample_rate_hertz=hertz, channels=channels)
    return Sound(found, _SAMPLE_BYTES[encoding] * hertz * channels, head, limit, read)


def _wav(head: bytes, read: Callable[[], bytes]) -> Sound:
    """The samples of a WAV file; of one whose samples the mesh takes only in their container, the whole file."""
    place, form = 12, b""
    while place < _MAX_HEADER_BYTES:
        head = _at_least(place + 8, head, read)
        if len(head) < place + 8:
            break
        name, size = struct.unpack_from("<4sI", head, place)
        if name == b"data":
            tag, channels, hertz, _, _, bits = struct.unpack_from("<HHIIHH", form.ljust(16, b"\0"))
            if tag == _EXTENSIBLE:
                tag = int.from_bytes(form[24:26], "little")
            if (tag, bits) not in _WAV or not hertz or not channels:
                break
            limit = size if 0 < size < _OPEN_LENGTH else None
            return _headerless(_WAV[tag, bits], hertz, channels, read, head=head[place + 8 :], limit=limit)
        head = _at_least(place + 8 + min(size, _MAX_HEADER_BYTES), head, read)
        if name == b"fmt ":
            form = head[place + 8 : place + 8 + size]
        place += 8 + size + size % 2
    return Sound(AudioStreamFormat(), 0, head, None, read)


def comes_live(file: BinaryIO) -> bool:
    """Whether it is no file but something that goes on, such as a pipe."""
    try:
        return not stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except OSError:
        return True


def _at_least(size: int, head: bytes, read: Callable[[], bytes]) -> bytes:
    """The head with as much behind it as makes it so long, if there is as much."""
    while len(head) < size and (more := read()):
        head += more
    return head


def reader(file: BinaryIO) -> Callable[[], bytes]:
    """Reads what there is, and waits only for the first of it.

    From the descriptor itself: a thread that waits in Python's own buffer keeps the program from ending.
    """
    try:
        descriptor = file.fileno()
    except OSError:
        return lambda: file.read(_CHUNK_BYTES)
    return lambda: os.read(descriptor, _CHUNK_BYTES)


def wav_header(sample_rate_hertz: int) -> bytes:
    """The beginning of a WAV file of signed 16-bit samples of one channel, which leaves its length open."""
    form = struct.pack("<HHIIHH", 1, 1, sample_rate_hertz, sample_rate_hertz * 2, 2, 16)
    unknown = b"\xff\xff\xff\xff"
    return b"RIFF" + unknown + b"WAVE" + b"fmt " + struct.pack("<I", len(form)) + form + b"data" + unknown


@contextmanager
def opened(out: Path) -> Iterator[BinaryIO]:
    """A file to write sound to while it comes; "-" is standard output. One that cannot be written is wrong usage."""
    if out == Path("-"):
        yield sys.stdout.buffer
        return
    try:
        file = out.open("w+b")
    except OSError as error:
        raise typer.BadParameter(f"{out} cannot be written: {error.strerror}") from None
    with file:
        yield file


def close_wav(file: BinaryIO) -> None:
    """Write the length into the header of a WAV file that left it open, where the file can be written again."""
    if not file.seekable():
        return
    size = file.tell()
    file.seek(0)
    head = file.read(4096) if file.readable() else b""
    place = head.find(b"data")
    if head[:4] == b"RIFF" and place > 0:
        file.seek(4)
        file.write(struct.pack("<I", size - 8))
        file.seek(place + 4)
        file.write(struct.pack("<I", size - place - 8))
