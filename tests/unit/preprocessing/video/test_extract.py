"""Frames of videos: formats, times, sizes and turns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from services.mesh.deadline import Deadline
from services.mesh.ports import Region, Target, VideoEnd, VideoEvent, VideoFrame, WaitingForIndex
from services.preprocessing.pipelines.video.extract import FrameExtractor
from tests.unit.preprocessing.video.films import FASTSTART, FRAGMENTED, corners, film, pieces, plain

WHOLE = (Target(64, 48, "stretch"),)
STILL = [corners()] * 12


async def extract(
    content: bytes, *, targets: Sequence[Target] = WHOLE, rate: float = 30, shots: bool = False, chunk: int = 1000
) -> list[VideoEvent]:
    """All events of a file."""
    with FrameExtractor() as extractor:
        events = extractor.extract(
            pieces(content, chunk)(),
            targets,
            frames_per_second=rate,
            detect_shot_changes=shots,
            deadline=Deadline.after(30),
        )
        return [event async for event in events]


def frames(events: Sequence[VideoEvent]) -> list[VideoFrame]:
    return [event for event in events if isinstance(event, VideoFrame)]


def quarters(pixels: np.ndarray) -> list[str]:
    """The colours in the middles of the four quarters, from the top left to the bottom right."""
    height, width = pixels.shape[:2]
    names = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 1): "white", (0, 0, 0): "black"}
    middles = [pixels[height * y // 4, width * x // 4] for y in (1, 3) for x in (1, 3)]
    return [names[tuple(int(each > 127) for each in middle)] for middle in middles]


@pytest.mark.parametrize(
    ("codec", "container", "muxer", "found"),
    [
        ("libx264", "mp4", FASTSTART, ("mp4", "h264")),
        ("libx264", "mp4", FRAGMENTED, ("mp4", "h264")),
        ("libx264", "mov", FASTSTART, ("mov", "h264")),
        ("libx264", "matroska", None, ("matroska", "h264")),
        ("libx264", "mpegts", None, ("mpegts", "h264")),
        ("libx265", "matroska", None, ("matroska", "hevc")),
        ("libvpx", "webm", None, ("webm", "vp8")),
        ("libvpx-vp9", "webm", None, ("webm", "vp9")),
        ("libsvtav1", "mp4", FASTSTART, ("mp4", "av1")),
        ("mpeg4", "avi", None, ("avi", "mpeg4")),
        ("mjpeg", "avi", None, ("avi", "mjpeg")),
        ("mpeg2video", "mpegts", None, ("mpegts", "mpeg2video")),
    ],
)
async def test_formats(codec, container, muxer, found):
    """Each container and codec is read from chunks of any size: all frames, at their times, in their colours."""
    rate = 25 if codec == "mpeg2video" else 10
    content = film(STILL, codec=codec, container=container, muxer=muxer, rate=rate)
    events = await extract(content, chunk=7 if len(content) < 10_000 else 700)
    shown = frames(events)
    assert [round(each.offset_seconds, 3) for each in shown] == [round(index / rate, 3) for index in range(12)]
    assert quarters(shown[5].renderings[0].pixels) == ["red", "green", "blue", "white"]
    end = events[-1]
    assert isinstance(end, VideoEnd)
    assert (end.container, end.codec, end.frames_decoded, end.damaged) == (*found, 12, False)
    assert end.duration_seconds == pytest.approx(12 / rate)


async def test_an_index_at_the_end():
    """An MP4 whose index comes last is waited for, says so first, and is then read whole."""
    events = await extract(film(STILL))
    assert isinstance(events[0], WaitingForIndex)
    assert len(frames(events)) == 12


async def test_an_index_in_front_is_not_waited_for():
    """Of an MP4 made for streaming, frames come before the file has."""
    content = film([corners()] * 200, muxer=FASTSTART, options={"g": "1"})
    given = 0

    async def chunks():
        nonlocal given
        for begin in range(0, len(content), 1000):
            given = begin
            yield content[begin : begin + 1000]

    with FrameExtractor() as extractor:
        events = extractor.extract(
            chunks(), WHOLE, frames_per_second=30, detect_shot_changes=False, deadline=Deadline.after(30)
        )
        assert isinstance(await anext(events), VideoFrame)
        assert given < len(content) / 2
        await events.aclose()


@pytest.mark.parametrize(
    ("rotation", "mirrored", "seen"),
    [
        (0, False, ["red", "green", "blue", "white"]),
        (90, False, ["green", "white", "red", "blue"]),
        (180, False, ["white", "blue", "green", "red"]),
        (270, False, ["blue", "red", "white", "green"]),
        (0, True, ["green", "red", "white", "blue"]),
    ],
)
async def test_turned_videos(rotation, mirrored, seen):
    """Frames are upright, as the file says that it is to be shown, and so are their sizes."""
    events = await extract(film(STILL, rotation=rotation, mirrored=mirrored), targets=[Target(64, 64, "inside")])
    pixels = frames(events)[0].renderings[0]
    assert quarters(pixels.pixels) == seen
    upright = (48, 64) if rotation in {90, 270} else (64, 48)
    assert (pixels.source_width, pixels.source_height) == upright
    assert pixels.pixels.shape == (upright[1], upright[0], 3)


async def test_targets():
    """A frame is rendered once for each target, as a picture is: stretched, filled, cut, and parts of it."""
    targets = [
        Target(20, 40, "stretch"),
        Target(64, 64, "contain"),
        Target(48, 48, "cover"),
        Target(1000, 1000, "inside"),
        Target(16, 16, "stretch", region=Region(0.5, 0.5, 1, 1)),
    ]
    stretched, filled, cut, inside, part = frames(await extract(film(STILL), targets=targets))[0].renderings
    assert [each.pixels.shape[:2] for each in (stretched, filled, cut, inside, part)] == [
        (40, 20), (64, 64), (48, 48), (48, 64), (16, 16),
    ]  # fmt: skip
    assert quarters(stretched.pixels) == quarters(cut.pixels) == ["red", "green", "blue", "white"]
    assert filled.pixels[48:].max() == 0
    assert filled.source_region == Region(0, 0, 1, 64 / 48)
    assert cut.source_region == Region(0.125, 0, 0.875, 1)
    assert set(quarters(part.pixels)) == {"white"}
    assert part.source_region == Region(0.5, 0.5, 1, 1)


@pytest.mark.parametrize(("wanted", "count"), [(30, 30), (10, 30), (5, 15), (4, 12), (0.5, 2)])
async def test_frames_per_second(wanted, count):
    """Frames come at the rate that is asked for; of a video with fewer, all of them; every frame is decoded."""
    events = await extract(film([corners()] * 30), rate=wanted)
    shown = frames(events)
    assert len(shown) == count
    gaps = np.diff([each.offset_seconds for each in shown])
    assert gaps.mean() == pytest.approx(1 / min(wanted, 10), rel=0.1)
    assert events[-1].frames_decoded == 30


async def test_uneven_times():
    """Frames of a video without a steady rate keep their times, and a pause in it is a pause."""
    milliseconds = [0, 40, 90, 130, 2130, 2170, 2500]
    events = await extract(film(STILL[:7], container="matroska", milliseconds=milliseconds), rate=5)
    assert [round(each.offset_seconds * 1000) for each in frames(events)] == [0, 2130, 2500]


async def test_times_begin_at_nought():
    """A video that begins late begins at 0 here."""
    content = film(STILL, container="mpegts", milliseconds=[5000 + 100 * index for index in range(12)])
    assert [round(each.offset_seconds, 3) for each in frames(await extract(content))[:3]] == [0, 0.1, 0.2]


async def test_without_targets_there_are_no_frames():
    """Who wants changes of shots alone gets no frames."""
    content = film([plain(200, 0, 0)] * 10 + [plain(0, 0, 200)] * 10)
    events = await extract(content, targets=[], shots=True)
    assert [type(event).__name__ for event in events] == ["WaitingForIndex", "ShotChange", "VideoEnd"]
