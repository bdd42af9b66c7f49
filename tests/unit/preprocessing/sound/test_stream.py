"""Sound in containers while it comes: the same samples as of the whole recording, early, and hostile files."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator

import numpy as np
import pytest

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.ports import AudioFormat, SoundEnd, SoundEvent, SoundPiece
from services.preprocessing.pipelines import audio
from services.preprocessing.pipelines.sound import coded
from services.preprocessing.pipelines.sound.stream import SoundStreamer
from tests.unit.preprocessing.sound.recordings import recorded, sine

FORMATS = [
    ("wav", "pcm_s16le", 16_000),
    ("wav", "pcm_s16le", 48_000),
    ("wav", "pcm_s24le", 48_000),
    ("wav", "pcm_f32le", 44_100),
    ("wav", "pcm_mulaw", 8_000),
    ("wav", "pcm_alaw", 8_000),
    ("flac", "flac", 44_100),
    ("ogg", "vorbis", 44_100),
    ("ogg", "libopus", 48_000),
    ("webm", "libopus", 48_000),
    ("webm", "vorbis", 44_100),
    ("mp3", "libmp3lame", 44_100),
    ("mp3", "libmp3lame", 16_000),
    ("aac", "aac", 44_100),
    ("mp4", "aac", 44_100),  # its index is at its end
]


async def pieces(content: bytes, size: int) -> AsyncIterator[bytes]:
    for begin in range(0, len(content), size):
        yield content[begin : begin + size]


async def decode(content: bytes, size: int = 777, audio_format: AudioFormat | None = None, rate: int = 16_000):
    """The events of a stream; size: of its chunks."""
    with SoundStreamer() as streamer:
        events = streamer.stream(
            pieces(content, size),
            audio_format or AudioFormat(),
            sample_rate_hertz=rate,
            meter=None,
            field="audio",
            deadline=Deadline.after(20),
        )
        return [event async for event in events]


def joined(events: list[SoundEvent]) -> np.ndarray:
    return np.concatenate([event.samples for event in events if isinstance(event, SoundPiece)])


@pytest.mark.parametrize(("container", "codec", "rate"), FORMATS)
@pytest.mark.parametrize("layout", ["mono", "stereo"])
async def test_as_of_the_whole_recording(container, codec, rate, layout):
    """What comes of a stream is what ConvertAudio gives for the same file, in pieces of at most a second."""
    if codec == "vorbis" and layout == "mono":
        pytest.skip("FFmpeg's own encoder of Vorbis knows stereo only")
    channels = np.stack([sine(440, rate=rate, seconds=3), sine(300, rate=rate, seconds=3)])
    content = recorded(channels[: 1 + (layout == "stereo")], rate=rate, container=container, codec=codec, layout=layout)
    events = await decode(content)
    whole = audio.convert(content, sample_rate_hertz=16_000, deadline=Deadline.after(20))
    samples, slack = joined(events), 0.07 if container == "mp3" else 0
    # How much an encoder of MP3 added at the end is known of a whole file only.
    assert 0 <= len(samples) - len(whole.sound.samples) <= slack * 16_000
    exact = len(whole.sound.samples) - (200 if slack else 0)
    np.testing.assert_allclose(samples[:exact], whole.sound.samples[:exact], atol=1e-4)
    end = events[-1]
    assert isinstance(end, SoundEnd)
    assert (end.source_sample_rate_hertz, end.source_channels) == (
        whole.source_sample_rate_hertz,
        whole.source_channels,
    )
    assert (end.source_codec, end.damaged) == (whole.source_codec, False)
    assert end.duration_seconds == pytest.approx(whole.sound.duration_seconds, abs=slack + 1e-6)
    offset = 0
    for event in events[:-1]:
        assert event.offset_seconds == pytest.approx(offset / 16_000)
        assert len(event.samples) <= 16_000
        offset += len(event.samples)


@pytest.mark.parametrize(("container", "codec", "most"), [("wav", "pcm_s16le", 0.1), ("mp3", "libmp3lame", 0.8)])
async def test_sound_comes_early(container, codec, most):
    """Of sound that comes in pieces of a tenth of a second, the first samples come so many seconds after the first."""
    content = recorded(sine(440, seconds=5), rate=16_000, container=container, codec=codec)
    first = (await decode(content, len(content) // 50))[0]
    assert first.bytes_received <= len(content) * most / 5 + len(content) // 50


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000])
async def test_wav_of_unknown_length(size):
    """Programs that write to a pipe do not know the length, and say 0 or as much as can be."""
    content = bytearray(recorded(sine(440), rate=16_000))
    at = content.index(b"data")
    content[4:8] = content[at + 4 : at + 8] = struct.pack("<I", size)
    events = await decode(bytes(content))
    assert len(joined(events)) == 16_000
    assert not events[-1].damaged


async def test_notes_behind_the_samples_are_no_sound():
    """A WAV may have chunks after its samples."""
    content = recorded(sine(440), rate=16_000)
    assert len(joined(await decode(content + b"LIST" + struct.pack("<I", 400) + bytes(400)))) == 16_000


@pytest.mark.parametrize(("container", "codec"), [("wav", "pcm_s16le"), ("wav", "pcm_s24le"), ("flac", "flac")])
async def test_cut_short(container, codec):
    """Sound that ends in the middle is given as far as it goes, and called damaged."""
    content = recorded(sine(440, seconds=4), rate=16_000, container=container, codec=codec)
    events = await decode(content[: len(content) // 2])
    assert events[-1].damaged
    assert 1 < events[-1].duration_seconds < 3


async def test_damage_in_the_middle():
    """A stretch of noise costs what it covers."""
    content = bytearray(recorded(sine(440, rate=48_000, seconds=4), rate=48_000, container="mp3", codec="libmp3lame"))
    content[len(content) // 2 : len(content) // 2 + 300] = bytes(300)
    assert (await decode(bytes(content)))[-1].duration_seconds > 3.5


async def test_tags_are_skipped():
    """Tags before the sound, with pictures in them, and zeros after them are read past."""
    content = recorded(sine(440), rate=16_000, container="aac", codec="aac")
    tag = b"ID3\4\0\0" + bytes([0, 0x7F, 0x7F, 0x7F]) + bytes(0x1FFFFF)
    tagged = await decode(tag * 2 + bytes(500) + content, 100_000)
    np.testing.assert_array_equal(joined(tagged), joined(await decode(content)))


def wav(*, rate: int = 16_000, channels: int = 1, tag: int = 1, bits: int = 16, data: bytes = bytes(64_000)) -> bytes:
    frame = channels * bits // 8
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, tag, channels, rate, rate * frame & 0xFFFFFFFF, frame & 0xFFFF, bits)
    body = b"WAVE" + fmt + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is none of"),
        (bytes(100_000), "is none of"),
        (b"RIFF", "is none of"),
        (b"\0\0\0\x18ftypM4A " + bytes(1000), "damaged|holds no sound"),
        (b"#EXTM3U\nfile:///etc/passwd\n", "is none of"),
        (wav(data=b""), "holds no sound"),
        (wav()[:30], "damaged|holds no sound"),
        (wav(rate=0), "takes 4000 to 192000 samples a second, got 0"),
        (wav(rate=4_000_000_000), "takes 4000 to 192000"),
        (wav(channels=9), "takes 1 to 8 channels|damaged|holds no sound"),
        (wav(channels=65_535), "channels|damaged|holds no sound"),
        (wav(tag=0x2000), "has a codec other than|holds no sound"),
        (wav(tag=3, bits=32, data=np.full(9_000, np.nan, "<f4").tobytes()), "not numbers"),
        (wav(tag=3, bits=64, data=np.full(9_000, np.inf, "<f8").tobytes()), "not numbers"),
        (b"ID3\4\0\0" + bytes([0x7F] * 4) + bytes(1000), "takes tags of at most"),
        ((b"ID3\4\0\0" + bytes(4)) * 20, "is none of"),
        (b"\x1a\x45\xdf\xa3\x9f" + b"\x42\x82\x84webm" + bytes(5000), "damaged|holds no sound"),
        (b"OggS" + bytes(50_000), "damaged|holds no sound"),
        (b"fLaC" + bytes(50_000), "damaged|holds no sound|takes|codec"),
    ],
)
@pytest.mark.parametrize("size", [1_000_000, 97])
async def test_hostile(content, said, size):
    """What is no sound within the limits is refused in a sentence that names the caller's field."""
    with pytest.raises(errors.InvalidArgument, match=said) as caught:
        await decode(content, size)
    assert [each.field for each in caught.value.violations] == ["audio"]


async def test_sound_that_changes_midway():
    """Two streams of different rates, one behind the other, are refused rather than played at the wrong speed."""
    two = [recorded(sine(440, rate=rate), rate=rate, container="mp3", codec="libmp3lame") for rate in (16_000, 44_100)]
    with pytest.raises(errors.InvalidArgument, match="midway"):
        await decode(b"".join(two))


async def test_much_metadata_without_sound():
    """A container whose headers never end is given up."""
    block = bytes([0x04]) + (0xFFFFFF).to_bytes(3, "big") + bytes(0xFFFFFF)
    with pytest.raises(errors.InvalidArgument, match=r"20 MiB|damaged"):
        await decode(b"fLaC" + block * 3, 1_000_000)


async def test_the_largest_kind():
    """Eight channels of 192 kHz are mixed to their mean."""
    samples = np.tile(np.linspace(-0.5, 0.5, 8, dtype=np.float32), 192_000)
    events = await decode(samples.tobytes(), 1_000_003, AudioFormat("float32", 192_000, 8))
    assert events[-1].duration_seconds == 1
    assert np.abs(joined(events)).max() < 1e-6


async def test_a_long_mp4_is_refused(monkeypatch):
    """An MP4 is kept in memory until its end, so that its size has a limit."""
    monkeypatch.setattr(coded, "MAX_MP4_BYTES", 2_000)
    with pytest.raises(errors.InvalidArgument, match="takes an MP4 of at most 2000 bytes"):
        await decode(recorded(sine(440), rate=16_000, container="mp4", codec="aac"))
