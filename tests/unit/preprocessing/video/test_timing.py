"""Times of frames, whatever a file says of them."""

from __future__ import annotations

import pytest

from services.preprocessing.pipelines.video.timing import Clock, Sampler


@pytest.mark.parametrize(
    ("stamps", "offsets"),
    [
        ([7.0, 7.1, 7.2], [0, 0.1, 0.2]),
        ([None, None, None], [0, 0.1, 0.2]),
        ([None, 0.3, None, 0.5], [0, 0.1, 0.2, 0.3]),
        ([0.0, 0.1, None, 0.3], [0, 0.1, 0.2, 0.3]),
        ([0.0, 0.2, 0.1, 0.3], [0, 0.2, 0.201, 0.3]),
        ([0.0, 0.0, 0.0], [0, 0.001, 0.002]),
        ([90.0, 90.1, 0.0, 0.1], [0, 0.1, 0.2, 0.3]),
        ([0.0, 1e12, 1e12 + 0.5], [0, 0.1, 0.6]),
        ([0.0, 600.0], [0, 600]),
    ],
    ids=["late", "none", "none at first", "one missing", "disordered", "still", "begins anew", "leap", "pause"],
)
def test_offsets(stamps, offsets):
    """They begin at 0 and rise, by the stamps where these make sense and by the frame rate where not."""
    clock = Clock(10)
    assert [clock.offset(stamp) for stamp in stamps] == pytest.approx(offsets, abs=1e-4)


@pytest.mark.parametrize("rate", [None, 0.0, 1e9, float("nan")])
def test_rates_that_make_no_sense(rate):
    """Without a sound frame rate a frame without a time lasts a 25th of a second."""
    clock = Clock(rate)
    assert [clock.offset(None), clock.offset(None)] == pytest.approx([0, 0.04])
    assert clock.duration_seconds == pytest.approx(0.08)


def test_no_frame_no_time():
    """A video without a frame has no length."""
    assert Clock(25).duration_seconds == 0


@pytest.mark.parametrize(
    ("rate", "wanted", "count"),
    [(24, 24, 240), (24, 30, 240), (25, 24, 240), (30, 5, 50), (29.97, 10, 100), (7, 5, 50)],
)
def test_steady_rates(rate, wanted, count):
    """In ten seconds, with stamps rounded to milliseconds, so many frames are taken as were asked for, or all."""
    sampler = Sampler(wanted)
    taken = sum(sampler.wants(round(index / rate, 3)) for index in range(round(rate * 10)))
    assert abs(taken - count) <= 1
