"""Sound on the command line."""

from __future__ import annotations

import io
import os
import struct
import wave
from pathlib import Path

import pytest
import typer

from maas.type.v1 import media_pb2
from services.cli.sounds import Encoding, Sound, close_wav, open_sound, wav_header

RAW16 = media_pb2.AudioStreamFormat(
    encoding=media_pb2.AUDIO_STREAM_ENCODING_LINEAR16, sample_rate_hertz=16_000, channels=1
)


def chunk(name: bytes, content: bytes, *, size: int | None = None) -> bytes:
    """A chunk of a WAV file."""
    return name + struct.pack("<I", len(content) if size is None else size) + content + b"\0" * (len(content) % 2)


def wav(*chunks: bytes) -> bytes:
    """A WAV file of chunks."""
    return b"RIFF" + struct.pack("<I", 4 + sum(map(len, chunks))) + b"WAVE" + b"".join(chunks)


def form(tag: int, bits: int, hertz: int = 16_000, channels: int = 1, more: bytes = b"") -> bytes:
    """The chunk that says how samples are stored."""
    width = bits // 8 * channels
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, hertz, hertz * width, width, bits) + more)


def opened(content: bytes) -> Sound:
    """A sound as it comes from a pipe, without options."""
    return open_sound(io.BytesIO(content), 0, Encoding.LINEAR16, 1)


@pytest.mark.parametrize(
    "content",
    [
        wav(form(1, 16), chunk(b"data", b"abcd")),
        wav(chunk(b"JUNK", b"x" * 70_001), form(1, 16), chunk(b"data", b"abcd"), chunk(b"LIST", b"not sound")),
        wav(form(1, 16), chunk(b"data", b"abcd", size=0xFFFFFFFF)),
        wav(form(1, 16), chunk(b"data", b"abcd", size=0)),
        # As arecord writes to a pipe.
        wav(form(1, 16), chunk(b"data", b"abcd", size=0x80000000)),
        wav(form(0xFFFE, 16, more=struct.pack("<HHI", 22, 16, 4) + b"\1\0" + b"\0" * 14), chunk(b"data", b"abcd")),
    ],
    ids=["plain", "chunks around", "length open", "no length", "two gigabytes", "extensible"],
)
def test_a_wav_file_loses_its_header(content: bytes):
    """The samples of a WAV file are sent, and nothing else, whatever its header says of their length."""
    sound = opened(content)
    assert (sound.format, sound.bytes_per_second) == (RAW16, 32_000)
    assert b"".join(sound.chunks()) == b"abcd"


@pytest.mark.parametrize(
    ("tag", "bits", "encoding", "rate"),
    [
        (7, 8, media_pb2.AUDIO_STREAM_ENCODING_MULAW, 16_000),
        (6, 8, media_pb2.AUDIO_STREAM_ENCODING_ALAW, 16_000),
        (3, 32, media_pb2.AUDIO_STREAM_ENCODING_FLOAT32, 64_000),
    ],
)
def test_telephony_and_float_lose_their_header_too(tag: int, bits: int, encoding: int, rate: int):
    """The mesh takes mu-law, A-law and float without a header as well."""
    sound = opened(wav(form(tag, bits, hertz=8000, channels=2), chunk(b"data", b"abcd")))
    assert (sound.format.encoding, sound.format.channels, sound.bytes_per_second) == (encoding, 2, rate)


@pytest.mark.parametrize(
    "content",
    [
        wav(form(1, 24), chunk(b"data", b"abcdef")),
        wav(form(2, 4), chunk(b"data", b"abcd")),
        wav(form(1, 16, hertz=0), chunk(b"data", b"abcd")),
        wav(chunk(b"data", b"abcd")),
        wav(form(1, 16)),
        b"RIFF",
        b"ID3 and so on",
    ],
    ids=["24 bits", "ADPCM", "no rate", "no format", "no data", "cut", "mp3"],
)
def test_whatever_else_is_sent_whole(content: bytes):
    """What is no such WAV file is the mesh's to judge: it gets every byte."""
    sound = opened(content)
    assert (sound.format, sound.bytes_per_second) == (media_pb2.AudioStreamFormat(), 0)
    assert b"".join(sound.chunks()) == content


def test_sound_without_a_header_is_what_the_options_say():
    """--raw tells the rate, --encoding and --channels the rest; the bytes are not looked at."""
    sound = open_sound(io.BytesIO(b"RIFFxxxxWAVE"), 8000, Encoding.MULAW, 2)
    assert sound.format == media_pb2.AudioStreamFormat(
        encoding=media_pb2.AUDIO_STREAM_ENCODING_MULAW, sample_rate_hertz=8000, channels=2
    )
    assert (sound.bytes_per_second, b"".join(sound.chunks())) == (16_000, b"RIFFxxxxWAVE")


def test_what_comes_through_a_pipe_is_given_as_it_comes():
    """A pipe is not waited for longer than until there is something."""
    here, there = os.pipe()
    with os.fdopen(here, "rb") as pipe, os.fdopen(there, "wb", buffering=0) as writer:
        writer.write(wav(form(1, 16), chunk(b"data", b"", size=0)) + b"ab")
        chunks = open_sound(pipe, 0, Encoding.LINEAR16, 1).chunks()
        assert next(chunks) == b"ab"
        writer.write(b"cd")
        assert next(chunks) == b"cd"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.wav", b"", "is empty"),
        ("a.m4a", b"\0\0\0\x20ftypM4A and so on", "cannot be streamed"),
        ("a.raw", b"abcd", "give --raw"),
    ],
)
def test_what_cannot_be_sent_is_wrong_usage(tmp_path: Path, name: str, content: bytes, told: str):
    """An empty file, one whose index is at its end, and one that does not tell its format are told before any call."""
    (tmp_path / name).write_bytes(content)
    with (tmp_path / name).open("rb") as file, pytest.raises(typer.BadParameter, match=told):
        open_sound(file, 0, Encoding.LINEAR16, 1)


def test_the_length_of_a_wav_file_is_written_at_its_end(tmp_path: Path):
    """A WAV file that was written while it came is whole in the end; what is none is left alone."""
    with (tmp_path / "a.wav").open("w+b") as file:
        file.write(wav_header(8000) + b"abcd")
        close_wav(file)
    with wave.open(str(tmp_path / "a.wav")) as read:
        assert (read.getframerate(), read.readframes(9)) == (8000, b"abcd")
    with (tmp_path / "b").open("w+b") as file:
        file.write(b"data")
        close_wav(file)
    assert (tmp_path / "b").read_bytes() == b"data"
