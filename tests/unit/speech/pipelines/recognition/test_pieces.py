"""Where sound is cut."""

import numpy as np
import pytest

from services.mesh.ports import SPEECH_WINDOW
from services.speech.pipelines.recognition.pieces import Cutter

WINDOWS = 31.25


def sound(*stretches: tuple[float, float]):
    """Stretches of (seconds, probability of speech) -> samples that count up, and probabilities."""
    speech = np.concatenate([np.full(round(seconds * WINDOWS), share, np.float32) for seconds, share in stretches])
    return np.arange(1, len(speech) * SPEECH_WINDOW + 1, dtype=np.float32), speech


def cut(*stretches, longest=28.0, windows=20):
    """The pieces, when the sound comes in so many windows at once."""
    samples, speech = sound(*stretches)
    cutter, pieces = Cutter(longest), []
    for begin in range(0, len(speech), windows):
        taken = slice(begin * SPEECH_WINDOW, (begin + windows) * SPEECH_WINDOW)
        pieces += cutter.take(samples[taken], speech[begin : begin + windows])
    return [*pieces, *cutter.rest()]


def spans(pieces):
    """When each begins and ends, in seconds; its samples are those of that time."""
    for piece in pieces:
        np.testing.assert_array_equal(np.diff(piece.samples), 1)
        assert piece.samples[0] == round(piece.offset_seconds * 16000) + 1
    return [(piece.offset_seconds, piece.offset_seconds + len(piece.samples) / 16000) for piece in pieces]


def test_silence_is_left_out():
    """A long silence ends a piece, and a little of it stays on both sides."""
    found = spans(cut((60, 0), (3, 0.9), (100, 0), (2, 0.9), (5, 0)))
    assert found == [pytest.approx((59.7, 63.3), abs=0.1), pytest.approx((162.7, 165.3), abs=0.1)]


def test_nothing_but_silence_is_no_piece():
    """Nobody speaks: there is nothing to read."""
    assert cut((300, 0.1)) == []


def test_short_pauses_end_a_piece_of_a_good_length_only():
    """Sentences are kept together up to ten seconds or so."""
    found = spans(cut(*[(3, 0.9), (0.8, 0.1)] * 6))
    assert all(10 <= end - begin <= 16 for begin, end in found)
    assert len(found) == 2


def test_speech_without_a_pause_is_cut_where_it_is_least_probable():
    """All the samples are in some piece, and none is too long; the cut is at the breath."""
    found = spans(cut((20, 0.95), (0.1, 0.2), (30, 0.95), longest=28))
    assert all(end - begin <= 28 for begin, end in found)
    assert found[0][1] == pytest.approx(20.05, abs=0.1)
    assert [one[1] for one in found[:-1]] == pytest.approx([other[0] for other in found[1:]])


def test_what_is_held_is_bounded():
    """Twenty minutes of talk never takes more than a piece and what came last."""
    cutter, most = Cutter(28), 0
    samples, speech = sound((20 / WINDOWS, 0.9))
    for _ in range(round(1200 * WINDOWS / 20)):
        list(cutter.take(samples, speech))
        most = max(most, cutter.held_seconds)
    assert most <= 30


def test_the_last_samples_are_kept():
    """What is no whole window at the end belongs to the last piece."""
    samples, speech = sound((2, 0.9))
    cutter = Cutter(28)
    assert list(cutter.take(np.append(samples, np.float32([7, 8])), speech)) == []
    assert next(iter(cutter.rest())).samples[-1] == 8
