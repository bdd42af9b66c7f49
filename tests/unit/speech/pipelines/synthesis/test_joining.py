"""Where one sound ends and the next begins."""

from __future__ import annotations

import numpy as np

from services.speech.pipelines.synthesis.joining import silence, trimmed

HERTZ = 24_000


def test_silence_around_speech_goes():
    """A little of it stays, and the ends are silent, so that nothing clicks."""
    speech = np.full(HERTZ, 0.5, np.float32)
    sound = np.concatenate([np.zeros(HERTZ // 2, np.float32), speech, np.full(HERTZ, 0.001, np.float32)])
    found = trimmed(sound, HERTZ)
    assert HERTZ <= len(found) <= HERTZ + 0.07 * HERTZ
    assert found[0] == found[-1] == 0
    assert np.abs(np.diff(trimmed(speech, HERTZ))).max() < 0.01


def test_nothing_of_nothing():
    """Neither an empty nor a silent sound has speech in it."""
    assert not trimmed(np.zeros(0, np.float32), HERTZ).size
    assert not trimmed(np.zeros(100, np.float32), HERTZ).size


def test_silence_is_exact():
    """To the sample."""
    assert len(silence(0.5, HERTZ)) == HERTZ // 2
