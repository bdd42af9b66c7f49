"""Ids that stay the same, on synthetic motion."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest

from services.mesh.ports import Region
from services.vision.pipelines.video.track import MAX_ACTIVE, Tracker

ASPECT = 16 / 9


@dataclass(frozen=True)
class Thing:
    box: Region
    score: float = 0.9
    name: str = "person"


def at(x, y=0.5, *, width=0.08, height=0.4, score=0.9, name="person"):
    """A thing around a point."""
    return Thing(Region(x - width / 2, y - height / 2, x + width / 2, y + height / 2), score, name)


class Video:
    """Frames of things, tracked: the ids of each frame, and the tracks that ended."""

    def __init__(self, frames_per_second=5.0):
        self.ended = []
        self.tracker = Tracker(itertools.count(1), self.ended.append)
        self._offsets = (index / frames_per_second for index in itertools.count())
        self._period = 1 / frames_per_second
        self.offset = 0.0

    def frame(self, *things, weak=()):
        self.offset = next(self._offsets)
        named = [(each.name, each) for each in things]
        tracks = self.tracker.update(self.offset, ASPECT, named, [(each.name, each) for each in weak])
        return [track.id for track in tracks]

    def end(self):
        self.tracker.end(self.offset + self._period)
        return {track.id: track for track in self.ended}


@pytest.mark.parametrize("frames_per_second", [2, 5, 30])
@pytest.mark.parametrize("seconds", [3, 5, 10])
def test_crosses(frames_per_second, seconds):
    """Somebody who crosses the picture keeps one id, fast or slow, at few or many frames a second."""
    video = Video(frames_per_second)
    count = seconds * frames_per_second
    ids = {video.frame(at(0.05 + 0.9 * index / count))[0] for index in range(count)}
    assert ids == {1}
    (track,) = video.end().values()
    assert track.visible_seconds == pytest.approx(seconds)


@pytest.mark.parametrize("frames_per_second", [5, 15])
def test_two_cross(frames_per_second):
    """Two who walk through each other's place keep their ids, since each is expected to go on."""
    video = Video(frames_per_second)
    count = 5 * frames_per_second
    seen = [
        tuple(video.frame(at(0.05 + 0.9 * index / count), at(0.95 - 0.9 * index / count, 0.53)))
        for index in range(count)
    ]
    assert set(seen) == {(1, 2)}


def test_hidden_for_a_second():
    """Who walks behind something for a second comes out with the same id, far from where they went in."""
    video = Video()
    ids = [video.frame(*([at(0.1 + 0.03 * index)] if not 8 <= index < 13 else [])) for index in range(20)]
    assert {each for frame in ids for each in frame} == {1}
    (track,) = video.end().values()
    assert track.visible_seconds == pytest.approx(15 * 0.2)
    assert (track.start_seconds, track.end_seconds) == (0, pytest.approx(19 * 0.2))


def test_one_hides_the_other():
    """Of two who meet, one hidden for a second, neither takes the other's id."""
    video = Video()
    for index in range(25):
        walking, coming = at(0.1 + 0.03 * index), at(0.8 - 0.03 * index, 0.52)
        hidden = abs(walking.box.x_min - coming.box.x_min) < 0.08
        assert video.frame(walking, *([] if hidden else [coming])) == ([1] if hidden else [1, 2])


def test_gone():
    """A thing that is not seen for two seconds gets a new id."""
    video = Video()
    assert video.frame(at(0.5)) == [1]
    for _ in range(9):
        video.frame()
    assert not video.ended
    assert video.frame(at(0.5)) == [2]
    assert [track.id for track in video.ended] == [1]


def test_shot_change():
    """All tracks end at a shot change, whatever stands there next."""
    video = Video()
    assert video.frame(at(0.3), at(0.7)) == [1, 2]
    video.tracker.end(0.1)
    assert [track.visible_seconds for track in video.ended] == [pytest.approx(0.1)] * 2
    assert video.frame(at(0.3), at(0.7)) == [3, 4]


def test_jitter():
    """A detector whose boxes tremble and that misses every fifth thing does not make new ids of a crowd."""
    random = np.random.default_rng(7)
    video = Video()
    places = np.linspace(0.1, 0.9, 6)
    for index in range(100):
        x = places + 0.0004 * index * np.array([1, -1, 1, -1, 1, -1])
        trembling = [
            at(each + random.normal(0, 0.005), 0.5 + random.normal(0, 0.02), height=0.4 + random.normal(0, 0.02))
            for each in x
            if random.random() > 0.2
        ]
        video.frame(*trembling)
    assert set(video.end()) == {1, 2, 3, 4, 5, 6}


def test_weak():
    """What is only weakly seen gets no id, but keeps one where the thing has gone."""
    video = Video()
    assert video.frame(weak=[at(0.1, score=0.3)]) == []
    assert video.frame(at(0.1)) == [1]
    for index in range(1, 26):
        assert video.frame(weak=[at(0.1 + 0.02 * index, score=0.3)]) == []
    assert video.frame(at(0.1 + 0.02 * 26)) == [1]


def test_confused_classes():
    """A thing that is taken for another class on some frames keeps its id, and is called what it was called most."""
    video = Video()
    for index in range(10):
        assert video.frame(at(0.5, name="truck" if index in {3, 4, 8} else "car")) == [1]
    assert video.end()[1].name == "car"


def test_other_class_beside():
    """A thing of another class near to where one was lost does not get its id."""
    video = Video()
    assert video.frame(at(0.5)) == [1]
    assert video.frame(at(0.53, name="bicycle", width=0.1, height=0.3)) == [2]


def test_best():
    """A track remembers when it was seen best."""
    video = Video()
    for index, score in enumerate([0.6, 0.95, 0.7]):
        video.frame(at(0.3 + 0.01 * index, score=score))
    best = video.end()[1].best
    assert (best.score, best.offset_seconds, best.box) == (0.95, pytest.approx(0.2), at(0.31).box)


def test_any_times():
    """Frames may come at any times: what counts are seconds, not frames."""
    video = Video()
    for offset in [0, 0.05, 0.9, 1.0, 1.7, 1.75, 2.9]:
        (track,) = video.tracker.update(offset, ASPECT, [("person", at(0.1 + 0.2 * offset))])
        assert track.id == 1


def test_bounded():
    """However many things there are, no more than a fixed number are followed."""
    video = Video(30)
    for index in range(10):
        video.frame(*(at(0.005 + 0.01 * each, 0.05 + 0.1 * index, width=0.004, height=0.01) for each in range(100)))
    assert len(video.ended) == 1000 - MAX_ACTIVE


def test_nothing_wide():
    """A box without an area does not break it."""
    video = Video()
    empty = Thing(Region(0.5, 0.5, 0.5, 0.5))
    assert len(video.frame(empty, at(0.2))) == 2
    assert len(video.frame(empty, at(0.2))) == 2
