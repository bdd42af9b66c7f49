"""Where utterances begin and end."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest

from services.mesh.ports import SPEECH_WINDOW
from services.speech.pipelines.live.endpoints import (
    PRE_ROLL,
    Begun,
    Ended,
    EndPointer,
    Happening,
    Paused,
    Rules,
    TurnEnded,
)

SECOND = 16_000


def hear(pointer: EndPointer, windows: Iterable[tuple[float, int]], loudness: float = 1.0) -> list[Happening]:
    """windows: a probability, and how many times it comes."""
    return [
        happening
        for probability, count in windows
        for _ in range(count)
        for happening in pointer.hear(probability, loudness)
    ]


def test_utterance_and_turn() -> None:
    """Speech begins with a pre-roll, the utterance ends after its silence, the turn after a longer one."""
    begun, paused, ended, turn = hear(EndPointer(Rules()), [(0.1, 30), (0.9, 30), (0.1, 60)])
    assert begun == Begun(30 * SPEECH_WINDOW)
    assert isinstance(ended, Ended)
    assert ended.silent
    assert ended.span.begin == 30 * SPEECH_WINDOW - PRE_ROLL
    assert ended.span.speech_end == 60 * SPEECH_WINDOW
    assert paused == Paused(ended.span)
    assert turn == TurnEnded(60 * SPEECH_WINDOW + round(1.2 * SECOND))


def test_pause_within_utterance() -> None:
    """A pause shorter than the silence ends nothing, and the span that it might have ended is another one."""
    happened = hear(EndPointer(Rules()), [(0.9, 30), (0.1, 15), (0.9, 30), (0.1, 30)])
    assert [type(each) for each in happened] == [Begun, Paused, Paused, Ended]
    assert happened[1] != happened[2]


def test_speech_resumes_before_the_turn_ends() -> None:
    """Who goes on in time begins another utterance in the same turn."""
    happened = hear(EndPointer(Rules()), [(0.9, 30), (0.1, 25), (0.9, 30), (0.1, 60)])
    assert [type(each) for each in happened] == [Begun, Paused, Ended, Begun, Paused, Ended, TurnEnded]
    first, second = (each.span for each in happened if isinstance(each, Ended))
    assert second.begin >= first.end


def test_click() -> None:
    """A click of a few windows is no speech."""
    assert hear(EndPointer(Rules()), [(0.1, 20), (0.99, 3), (0.1, 60)]) == []


def test_hysteresis() -> None:
    """Speech that becomes a little less probable than it must be to begin goes on."""
    assert [type(each) for each in hear(EndPointer(Rules()), [(0.6, 20), (0.4, 60)])] == [Begun]


def test_longest_utterance_is_cut_in_a_pause() -> None:
    """Too long an utterance is cut in the middle of the longest pause of its last third, and goes on there."""
    rules = Rules(maximum_utterance=160 * SPEECH_WINDOW / SECOND)
    begun, cut = hear(EndPointer(rules), [(0.9, 60), (0.0, 9), (0.9, 61), (0.0, 4), (0.9, 26)])
    assert begun == Begun(0)
    assert isinstance(cut, Ended)
    assert not cut.silent
    assert cut.span.end == 132 * SPEECH_WINDOW


def test_longest_utterance_without_pause() -> None:
    """Without a pause the quietest moment of the last third is the place to cut."""
    pointer = EndPointer(Rules(maximum_utterance=160 * SPEECH_WINDOW / SECOND))
    hear(pointer, [(0.9, 129)])
    assert hear(pointer, [(0.9, 3)], loudness=0.1) == []
    [cut] = hear(pointer, [(0.9, 28)])
    assert isinstance(cut, Ended)
    assert cut.span.end == 130.5 * SPEECH_WINDOW


def test_endless_speech_loses_nothing() -> None:
    """The pieces of speech without any pause follow each other without gap or overlap, none longer than the maximum."""
    happened = hear(EndPointer(Rules(maximum_utterance=5)), [(0.9, 2000)])
    spans = [each.span for each in happened if isinstance(each, Ended)]
    assert len(spans) > 10
    assert all(one.end == other.begin for one, other in pairwise(spans))
    assert all(span.end - span.begin <= 5 * SECOND for span in spans)


def test_finish_ends_what_has_just_begun() -> None:
    """A control, or the end, takes a word that was too short to count as speech by itself."""
    pointer = EndPointer(Rules())
    assert hear(pointer, [(0.1, 20), (0.9, 3)]) == []
    begun, ended = pointer.finish(23 * SPEECH_WINDOW + 100)
    assert isinstance(begun, Begun)
    assert isinstance(ended, Ended)
    assert ended.span.end == 23 * SPEECH_WINDOW + 100
    assert not pointer.turn_open


def test_discard() -> None:
    """What is discarded gets no end, and nothing of it is heard again."""
    pointer = EndPointer(Rules())
    hear(pointer, [(0.9, 20)])
    pointer.discard(20 * SPEECH_WINDOW)
    assert pointer.needed_from == pointer.accounted == 20 * SPEECH_WINDOW
    _, ended = hear(pointer, [(0.9, 10), (0.1, 9), (0.1, 10)])[::2]
    assert isinstance(ended, Ended)
    assert ended.span.begin == 20 * SPEECH_WINDOW


def test_silence_is_accounted_for() -> None:
    """In silence all but the pre-roll is accounted for, and not kept."""
    pointer = EndPointer(Rules())
    hear(pointer, [(0.0, 1000)])
    assert pointer.needed_from == pointer.accounted == 1000 * SPEECH_WINDOW - PRE_ROLL


def test_turn_that_was_open() -> None:
    """A stream that goes on with silence after an utterance ends the turn."""
    assert hear(EndPointer(Rules(), begin=1000, turn_open=True), [(0.0, 60)]) == [TurnEnded(1000 + round(1.2 * SECOND))]


@pytest.mark.parametrize("silence", [0.1, 0.3, 0.6, 5.0])
def test_guess_is_the_utterance(silence: float) -> None:
    """Where an utterance is read before its silence is over, that is what ends."""
    happened = hear(EndPointer(Rules(utterance_silence=silence, turn_silence=5)), [(0.9, 30), (0.0, 170)])
    spans = [each.span for each in happened if isinstance(each, Paused | Ended)]
    assert len(set(spans)) == 1
