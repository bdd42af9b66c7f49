"""Pieces of speech: thresholds, shortest lengths, padding."""

import random

import pytest

from services.preprocessing.pipelines.sound.segments import Detection, Segmenter, Speech, SpeechStart

WINDOW = 0.032
BARE = {"min_silence_seconds": 0.096, "min_speech_seconds": 0.064, "padding_seconds": 0.0}


def found(probabilities, **options) -> list[tuple]:
    """What is told, in windows."""
    segmenter = Segmenter(Detection(**(BARE | options)))
    told = segmenter.feed(probabilities) + segmenter.finish(len(probabilities) * WINDOW)
    return [
        ("start", each.offset_seconds / WINDOW)
        if isinstance(each, SpeechStart)
        else (each.start_seconds / WINDOW, each.end_seconds / WINDOW, each.confidence)
        for each in told
    ]


def near(*told):
    return [tuple(pytest.approx(each) if isinstance(each, float) else each for each in one) for one in told]


def test_speech_and_silence():
    """A piece lasts from the first window above the threshold to the silence after it; its confidence is the mean."""
    assert found([0, 0, 1, 0.5, 0.6, 0, 0, 0, 0]) == near(("start", 2.0), (2.0, 5.0, 0.7))


def test_two_thresholds():
    """Speech goes on while it is a little below the threshold, with which alone it does not begin."""
    assert found([0.4, 0.4, 0.4, 0, 0, 0]) == []
    assert found([0.9, 0.9, 0.4, 0.4, 0.4, 0.4, 0.1, 0, 0]) == near(("start", 0.0), (0.0, 6.0, 3.4 / 6))


def test_short_silence_joins():
    """Silence shorter than the shortest ends nothing, and counts towards the confidence."""
    assert found([1, 1, 0, 0, 1, 1]) == near(("start", 0.0), (0.0, 6.0, 4 / 6))


def test_short_speech_is_left_out():
    """What is shorter than the shortest is not told, neither its beginning nor its end."""
    assert found([0, 1, 0, 0, 0, 0, 1]) == []
    assert found([0, 1, 0, 0, 0], min_speech_seconds=0) == near(("start", 1.0), (1.0, 2.0, 1.0))


def test_padding_is_bounded():
    """Padding ends at the beginning of the sound, at its end, and where other speech is."""
    padded = {"padding_seconds": 2 * WINDOW}
    assert found([0, 1, 1, 0, 0, 0], **padded) == near(("start", 0.0), (0.0, 5.0, 1.0))
    assert found([0, 0, 0, 1, 1], **padded) == near(("start", 1.0), (1.0, 5.0, 1.0))
    wide = {"padding_seconds": 4 * WINDOW}
    assert found([1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0], **wide) == near(
        ("start", 0.0), (0.0, 5.0, 1.0), ("start", 5.0), (5.0, 11.0, 1.0)
    )


def test_told_as_soon_as_known():
    """The beginning is told when the speech is long enough, the end when silence and padding have passed."""
    segmenter = Segmenter(Detection(**BARE | {"padding_seconds": 5 * WINDOW}))
    told = [segmenter.feed([each]) for each in [1, 1, 0, 0, 0, 0, 0, 0]]
    assert [[type(each) for each in one] for one in told] == [[], [SpeechStart], [], [], [], [], [Speech], []]


def test_order_holds_for_any_sound():
    """Pieces follow each other without overlap, each behind its own beginning, whatever comes."""
    chance = random.Random(1)
    for _ in range(300):
        options = {
            "threshold": chance.choice([0.005, 0.1, 0.5, 0.99]),
            "min_silence_seconds": chance.choice([0.032, 0.1, 0.5]),
            "min_speech_seconds": chance.choice([0.0, 0.1, 0.25]),
            "padding_seconds": chance.choice([0.0, 0.1, 1.0]),
        }
        told = found([chance.random() for _ in range(chance.randrange(200))], **options)
        last = 0.0
        for start, piece in zip(told[::2], told[1::2], strict=True):
            assert start == ("start", piece[0])
            assert last <= piece[0] < piece[1]
            assert 0 <= piece[2] <= 1
            last = piece[1]
