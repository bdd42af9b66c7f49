"""What is kept of a long video is bounded."""

import itertools
from dataclasses import dataclass

import pytest

from services.mesh.ports import Region, ShotChange
from services.vision.pipelines.read import TextLine
from services.vision.pipelines.video.summary import MAX_SHOT_CHANGES, MAX_TEXTS, MAX_TRACKS, Chronicle
from services.vision.pipelines.video.track import Tracker

BOX = Region(0.1, 0.1, 0.2, 0.2)


@dataclass(frozen=True)
class Thing:
    score: float = 0.9
    box: Region = BOX


def text(says, score=0.9):
    return TextLine(says, score, ((0, 0), (1, 0), (1, 1), (0, 1)), BOX, 0.0)


def summed(chronicle):
    return chronicle.summary(duration_seconds=1, width=1, height=1, frames_decoded=1, frames_analyzed=1, damaged=False)


def test_longest_tracks():
    """Of many tracks the longest are kept, the longest first, and the others are counted."""
    chronicle = Chronicle()
    tracker = Tracker(itertools.count(1), chronicle.track_ended)
    offset = 0.0
    for index in range(MAX_TRACKS + 50):
        tracker.update(offset, 1, [("person", Thing())])
        offset += 0.001 * (index + 1)
        tracker.end(offset)
    found = summed(chronicle)
    assert found.tracks_omitted == 50
    assert [track.id for track in found.tracks] == list(range(MAX_TRACKS + 50, 50, -1))
    assert found.tracks[0].visible_seconds == pytest.approx(0.001 * (MAX_TRACKS + 50))


def test_tracks_of_one_length():
    """Of tracks that are as long the earlier ones come first."""
    chronicle = Chronicle()
    tracker = Tracker(itertools.count(1), chronicle.track_ended)
    for index in range(MAX_TRACKS + 5):
        tracker.update(index, 1, [("person", Thing())])
        tracker.end(index + 0.2)
    assert [track.id for track in summed(chronicle).tracks] == list(range(1, MAX_TRACKS + 1))


def test_bounded():
    """Shot changes and texts beyond their number are left out."""
    chronicle = Chronicle()
    for index in range(MAX_SHOT_CHANGES + 10):
        chronicle.shot_changed(ShotChange(index, 0.7))
        chronicle.texts_read(index, [text(f"text {index}"), text("again")])
    found = summed(chronicle)
    assert len(found.shot_changes) == MAX_SHOT_CHANGES
    assert len(found.texts) == MAX_TEXTS
    assert found.texts[1].end_seconds == MAX_SHOT_CHANGES + 9
