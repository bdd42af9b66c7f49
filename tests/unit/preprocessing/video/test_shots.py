"""Where shots begin."""

from __future__ import annotations

import av
import numpy as np
import pytest

from services.mesh.ports import ShotChange, VideoFrame
from services.preprocessing.pipelines.video.shots import ShotDetector
from tests.unit.preprocessing.video.films import FASTSTART, corners, film, plain
from tests.unit.preprocessing.video.test_extract import extract


async def changes(pictures, *, rate=25) -> list[float]:
    """When shots begin in a video of these pictures."""
    events = await extract(film(pictures, muxer=FASTSTART, rate=rate), targets=[], shots=True)
    return [round(event.offset_seconds, 3) for event in events if isinstance(event, ShotChange)]


async def test_cuts():
    """Each cut is told once, with the time of the first frame behind it."""
    assert await changes([corners()] * 20 + [plain(30, 90, 160)] * 20 + [corners()] * 20) == [0.8, 1.6]


async def test_a_cut_comes_before_its_frame():
    """The change of shots is told before the frame with which the shot begins, and no frame is lost."""
    content = film([corners()] * 10 + [plain(30, 90, 160)] * 10, muxer=FASTSTART)
    events = await extract(content, shots=True)
    change = next(index for index, event in enumerate(events) if isinstance(event, ShotChange))
    assert events[change + 1].offset_seconds == pytest.approx(1.0)
    assert events[change].score > 0.5
    offsets = [event.offset_seconds for event in events if isinstance(event, VideoFrame)]
    assert len(offsets) == 20
    assert offsets == sorted(offsets)


async def test_a_flash_is_no_cut():
    """A bright moment after which the old picture comes back is no new shot."""
    assert await changes([corners()] * 20 + [plain(250, 250, 250)] * 2 + [corners()] * 20) == []


async def test_a_flash_at_a_cut():
    """A cut that hides behind a flash is told once."""
    pictures = [corners()] * 20 + [plain(250, 250, 250)] * 2 + [plain(30, 90, 160)] * 20
    assert await changes(pictures) == [0.8]


async def test_a_fade_is_no_cut():
    """A picture that goes dark and comes back is one shot."""
    dark = [(corners() * share).astype(np.uint8) for share in np.linspace(1, 0, 25)]
    assert await changes([*dark, *dark[::-1]]) == []


async def test_a_shot_behind_black():
    """Another picture behind a black one is a new shot, which begins where it is seen."""
    assert await changes([corners()] * 20 + [plain(0, 0, 0)] * 10 + [plain(30, 90, 160)] * 20) == [1.2]


async def test_a_cut_to_black():
    """A shot of a moment before a long black one is told, and no frame is held back for as long as it is black."""
    red, blue, black = plain(200, 30, 30), plain(30, 30, 200), plain(0, 0, 0)
    detector = ShotDetector()
    told = []
    for number, pixels in enumerate([red] * 5 + [blue] + [black] * 50):
        event = VideoFrame(number / 25, ())
        told += detector.add(av.VideoFrame.from_ndarray(pixels), number / 25, event)
        assert sum(isinstance(each, VideoFrame) for each in told) >= number - 3
    assert [each.offset_seconds for each in told if isinstance(each, ShotChange)] == [0.2]


async def test_motion_is_no_cut():
    """What moves through the picture does not make a shot."""
    assert await changes([np.roll(corners(), 2 * index, axis=1) for index in range(60)]) == []


async def test_a_cut_at_the_very_end():
    """A shot that begins with the last frame is told too, since nothing takes it back."""
    assert await changes([corners()] * 20 + [plain(30, 90, 160)]) == [0.8]
