"""Files that are broken, or made to break something."""

from __future__ import annotations

import io
import struct

import av
import numpy as np
import pytest

from services.mesh import errors
from services.mesh.ports import VideoEnd
from tests.unit.preprocessing.video.films import FASTSTART, FRAGMENTED, corners, film
from tests.unit.preprocessing.video.test_extract import STILL, extract, frames

MEBIBYTE = 1024 * 1024
FTYP = struct.pack(">I4s4s", 12, b"ftyp", b"isom")
KEYS = {"g": "4"}


async def refusal(content: bytes) -> str:
    """What is wrong with a file; the error names its field."""
    with pytest.raises(errors.InvalidArgument) as caught:
        await extract(content, chunk=MEBIBYTE)
    assert [each.field for each in caught.value.violations] == ["content"]
    return caught.value.message


def sound() -> bytes:
    """A file with sound alone."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        stream = output.add_stream("pcm_s16le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 16_000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def other_codec() -> bytes:
    return film(STILL, codec="flv", container="avi")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is none of avi, matroska, mov, mp4, mpegts, webm, or empty"),
        (b"\xff\xd8\xff\xe0" + bytes(3000), "is none of"),
        (b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1/x.ts\n" * 20, "is none of"),
        (b"\x1a\x45\xdf\xa3" + bytes(5000), "begins like matroska, but is damaged"),
        (b"RIFF\0\0\0\0AVI " + bytes(5000), "begins like avi, but is damaged"),
        ((b"\x47" + bytes(187)) * 500, "begins like mpegts, but is damaged"),
        (FTYP, "begins like mp4, but is damaged"),
        (FTYP + struct.pack(">I4s", 3, b"moov"), "is a damaged MP4"),
    ],
    ids=["nothing", "picture", "playlist", "matroska", "avi", "mpegts", "mp4", "box"],
)
async def test_no_video(content, said):
    """What is no video is refused, and a playlist is none."""
    assert said in await refusal(content)


@pytest.mark.parametrize(
    ("make", "said"),
    [(sound, "holds no video"), (other_codec, "has a codec other than av1, h264")],
    ids=["sound", "codec"],
)
async def test_nothing_to_see(make, said):
    """A file without pictures, or with a codec that is not taken, is refused."""
    assert said in await refusal(make())


async def test_pictures_that_are_too_large():
    """The limit is on each side, and is said."""
    content = film([np.zeros((16, 4112, 3), np.uint8)] * 2, codec="mjpeg", container="avi")
    assert "at most 4096 pixels a side, got 4112 x 16" in await refusal(content)


async def test_a_video_that_grows():
    """A video whose pictures become too large midway is refused then."""
    small = film([np.zeros((16, 64, 3), np.uint8)] * 30, container="mpegts")
    large = film([np.zeros((16, 5008, 3), np.uint8)] * 30, container="mpegts")
    assert "at most 4096 pixels a side, got 5008 x 16" in await refusal(small + large)


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
async def test_a_video_that_changes_its_size(codec):
    """Pictures of another size midway are rendered like the others."""
    rate = 25
    made = [
        film([corners(width, height)] * 15, codec=codec, container="mpegts", rate=rate)
        for width, height in ((64, 48), (128, 96))
    ]
    shown = frames(await extract(b"".join(made)))
    assert {each.renderings[0].source_width for each in shown} == {64, 128}
    assert {each.renderings[0].pixels.shape for each in shown} == {(48, 64, 3)}


@pytest.mark.parametrize(
    ("container", "muxer"),
    [("mp4", FASTSTART), ("mp4", FRAGMENTED), ("matroska", None), ("avi", None)],
    ids=["mp4", "fragmented", "matroska", "avi"],
)
async def test_videos_that_end_in_the_middle(container, muxer):
    """The frames that came are given, and the end says that there should have been more."""
    codec = "mpeg4" if container == "avi" else "libx264"
    content = film(STILL * 4, codec=codec, container=container, muxer=muxer, options=KEYS)
    events = await extract(content[: len(content) * 4 // 5])
    end = events[-1]
    assert isinstance(end, VideoEnd)
    assert end.damaged
    assert 0 < end.frames_decoded < 48


async def test_damage_in_the_middle():
    """Behind a damaged place frames go on, and the end says that some were lost."""
    noise = [np.random.default_rng(index).integers(0, 255, (48, 64, 3), np.uint8) for index in range(40)]
    content = bytearray(film(noise, codec="mjpeg", container="avi"))
    middle = len(content) // 2
    content[middle : middle + 4000] = bytes(4000)
    events = await extract(bytes(content))
    assert events[-1].damaged
    assert 30 < len(frames(events)) < 40


async def test_a_cut_off_index():
    """An MP4 whose index comes last and is missing cannot be read at all."""
    content = film(STILL)
    assert "begins like mp4, but is damaged" in await refusal(content[: len(content) // 2])


@pytest.mark.parametrize(
    "content",
    [
        # The file's header, a segment without a size, and a filling of 32 GiB.
        bytes.fromhex("1a45dfa380 18538067 01ffffffffffffff ec08ffffffff") + bytes(40 * MEBIBYTE),
        (b"\x47\x1f\xff\x10" + bytes(184)) * (40 * MEBIBYTE // 188),
    ],
    ids=["matroska", "mpegts"],
)  # fmt: skip
async def test_bytes_without_end(content):
    """A file that goes on and on without a frame is given up."""
    assert "at most 32 MiB from one frame to the next" in await refusal(content)


async def test_a_large_box():
    """An MP4 may not have boxes without end beside its media data."""
    content = FTYP + struct.pack(">I4s", 0xFFFFFFF0, b"moov") + bytes(26 * MEBIBYTE)
    assert "takes boxes beside the media data of 25165824 bytes" in await refusal(content)


async def test_an_index_of_many_samples():
    """An index that declares more samples than a long film has is refused before memory is taken for them."""
    table = struct.pack(">I4sIII", 20, b"stsz", 0, 0, 0x7FFFFFFF)
    assert "at most 2000000 samples" in await refusal(FTYP + struct.pack(">I4s", 8 + len(table), b"moov") + table)


async def test_one_picture():
    """A video of one frame has one frame."""
    events = await extract(film([corners()], codec="mjpeg", container="avi"))
    assert [type(event).__name__ for event in events] == ["VideoFrame", "VideoEnd"]
    assert events[-1].duration_seconds == pytest.approx(0.1)
