"""Gives things the same id from frame to frame.

SORT (Bewley et al. 2016, arXiv:1602.00763): predict where each track is, then assign sightings to tracks at the least
cost. From ByteTrack (Zhang et al. 2022, arXiv:2110.06864) come the weak sightings, which keep a track alive and start
none. The cost is the distance-IoU (Zheng et al. 2020, arXiv:1911.08287), since at a few frames a second the boxes of a
fast thing may not overlap at all.

Written here because the libraries count frames, while here frames come at any times, or assign greedily.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import lap
import numpy as np
from numpy.typing import NDArray

from services.mesh.ports import Region
from services.vision.pipelines.boxes import Boxes, area, as_box
from services.vision.pipelines.video.motion import Motion

# A thing that is not seen for so long is gone.
LOST_SECONDS = 2.0
_ROUNDING_SECONDS = 0.001
# Beyond it those that were not seen for the longest time are gone; it bounds the time that a frame takes.
MAX_ACTIVE = 256

# How far from where it is expected a thing may be, in standard deviations.
_GATE = 3.0
# How much larger or smaller its area may be than when it was last seen.
_GROWTH = 4.0
# What must overlap so much (intersection over union) to be the same thing: what is weak, or now seems of another class.
_SURE_OVERLAP = 0.5
_OTHER_CLASS_COST = 0.5
# Two pairs are left for one better pair and two new things when that costs less.
_COST_LIMIT = 1.5
_FORBIDDEN = 1000.0
# Costs are rounded to whole steps, so that sums are exact: the solver may not end on what rounding makes of others.
_STEPS = 1024
# Instead of the area of a box that has none.
_TINY = 1e-9


class Sighting(Protocol):
    """Something found on a frame."""

    @property
    def score(self) -> float:
        """Probability, 0..1."""
        ...

    @property
    def box(self) -> Region:
        """Where it is."""
        ...


@dataclass(frozen=True, slots=True)
class Best:
    """The sighting with the highest score: when, where and how sure."""

    score: float
    box: Region
    offset_seconds: float


class Track:
    """One thing over time.

    id: from 1. start_seconds, end_seconds: when it was first and last seen. visible_seconds: how long the frames were
    shown on which it was found.
    """

    def __init__(self, track_id: int, name: str, sighting: Sighting, offset: float, box: Boxes) -> None:
        """box: float32[4], its x scaled to the unit of y."""
        self.id = track_id
        self.start_seconds = self.end_seconds = offset
        self.visible_seconds = 0.0
        self.best = Best(sighting.score, sighting.box, offset)
        self._names = Counter({name: sighting.score})
        # When anything was seen of it, if only weakly.
        self._alive = offset
        self._size = box[2:] - box[:2]
        y, x = (box[:2] + box[2:]) / 2
        self.motion = Motion(float(x), float(y))

    @property
    def name(self) -> str:
        """Its class: that with the most sightings, each counting by its score."""
        return self._names.most_common(1)[0][0]

    def idle_seconds(self, offset: float) -> float:
        """For how long nothing was seen of it."""
        return offset - self._alive

    def expected(self) -> Boxes:
        """float32[4]."""
        half = self._size / 2
        centre = np.array([self.motion.y, self.motion.x], np.float32)
        return np.concatenate([centre - half, centre + half])

    def follow(self, box: Boxes, offset: float) -> None:
        """Take in where something was seen of it."""
        y, x = (box[:2] + box[2:]) / 2
        self.motion.correct(float(x), float(y))
        self._size = (self._size + box[2:] - box[:2]) / 2
        self._alive = offset

    def see(self, name: str, sighting: Sighting, offset: float) -> None:
        """Count a sighting."""
        self._names[name] += sighting.score  # type: ignore[assignment] # typeshed has counters of whole numbers only
        self.end_seconds = offset
        if sighting.score > self.best.score:
            self.best = Best(sighting.score, sighting.box, offset)


class Tracker:
    """The tracks of one video."""

    def __init__(self, ids: Iterator[int], ended: Callable[[Track], None]) -> None:
        """ids: for new tracks. ended: is told of each track that is over."""
        self._ids = ids
        self._ended = ended
        self._active: list[Track] = []
        self._offset = 0.0
        # Those of which something was found on the last frame.
        self._visible: list[Track] = []

    def update(
        self,
        offset: float,
        aspect: float,
        found: Sequence[tuple[str, Sighting]],
        weak: Sequence[tuple[str, Sighting]] = (),
    ) -> list[Track]:
        """The track of each thing found on the next frame, in order.

        aspect: width of the frame by its height. found, weak: names of classes and what was found; a weak one gets no
        track, but may keep one alive.
        """
        self._pass(offset)
        for track in self._active:
            track.motion.advance(offset - self._offset)
        self._offset = offset
        boxes = _scaled(found, aspect)
        matched = _match([name for name, _ in found], boxes, self._active)
        tracks = []
        for (name, sighting), box, match in zip(found, boxes, matched, strict=True):
            track = match or Track(next(self._ids), name, sighting, offset, box)
            if match:
                track.follow(box, offset)
                track.see(name, sighting, offset)
            tracks.append(track)
        taken = {track.id for track in tracks}
        others = [track for track in self._active if track.id not in taken]
        boxes = _scaled(weak, aspect)
        for box, match in zip(boxes, _match([name for name, _ in weak], boxes, others, sure=True), strict=True):
            if match:
                match.follow(box, offset)
        self._visible = tracks
        self._active += [track for track, match in zip(tracks, matched, strict=True) if match is None]
        self._end(sorted(self._active, key=lambda track: track.idle_seconds(offset))[MAX_ACTIVE:])
        return tracks

    def end(self, offset: float) -> None:
        """All tracks are over: at a shot change, or at the end of the video."""
        self._pass(offset)
        self._visible = []
        self._end(self._active)

    def _pass(self, offset: float) -> None:
        """The last frame was shown until now; end what was not seen for too long."""
        shown = min(max(0.0, offset - self._offset), LOST_SECONDS)
        for track in self._visible:
            track.visible_seconds += shown
        self._end([track for track in self._active if track.idle_seconds(offset) >= LOST_SECONDS - _ROUNDING_SECONDS])

    def _end(self, tracks: Sequence[Track]) -> None:
        over = {track.id for track in tracks}
        for track in tracks:
            self._ended(track)
        self._active = [track for track in self._active if track.id not in over]


def _match(names: Sequence[str], boxes: Boxes, tracks: Sequence[Track], *, sure: bool = False) -> list[Track | None]:
    """The track that each sighting belongs to, if any.

    names: N classes. boxes: float32[N, 4]. sure: only where they overlap well and the class is the same.
    """
    if not names or not tracks:
        return [None] * len(names)
    expected = np.stack([track.expected() for track in tracks])
    deviations = np.array([track.motion.deviation() for track in tracks])
    other_class = np.array(names)[:, None] != np.array([track.name for track in tracks])
    overlap, separation, reach = _compare(boxes, expected)
    growth = np.maximum(area(boxes), _TINY)[:, None] / np.maximum(area(expected), _TINY)
    possible = (separation <= (_GATE * deviations) ** 2 * area(expected)) & (growth < _GROWTH) & (growth > 1 / _GROWTH)
    possible &= (overlap >= _SURE_OVERLAP) | ~(other_class | sure)
    possible &= ~(other_class & sure)
    cost = 1 - overlap + separation / reach + _OTHER_CLASS_COST * other_class
    cost = np.where(possible, np.round(cost * _STEPS) / _STEPS, _FORBIDDEN)
    _, track_of, _ = lap.lapjv(cost.astype(np.float64), extend_cost=True, cost_limit=_COST_LIMIT)
    return [tracks[index] if index >= 0 else None for index in track_of]


def _scaled(found: Sequence[tuple[str, Sighting]], aspect: float) -> Boxes:
    """float32[N, 4]: boxes whose x has the unit of y."""
    boxes = np.array([as_box(sighting.box) for _, sighting in found], np.float32).reshape(-1, 4)
    scaled: Boxes = boxes * np.array([1, aspect, 1, aspect], np.float32)
    return scaled


def _compare(boxes: Boxes, others: Boxes) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Of float32[N, 4] with float32[M, 4], each float32[N, M].

    Intersection over union; square of the distance of the centres; square of the diagonal of the box around both.
    """
    one, other = boxes[:, None], others[None]
    common = area(
        np.concatenate([np.maximum(one[..., :2], other[..., :2]), np.minimum(one[..., 2:], other[..., 2:])], -1)
    )
    union = area(one) + area(other) - common
    centres = (one[..., :2] + one[..., 2:] - other[..., :2] - other[..., 2:]) / 2
    around = np.maximum(one[..., 2:], other[..., 2:]) - np.minimum(one[..., :2], other[..., :2])
    separation, reach = np.sum(centres**2, -1), np.sum(around**2, -1)
    return common / np.maximum(union, _TINY), separation, np.maximum(reach, _TINY)
