"""What there was in a whole video, in bounded memory whatever its length."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.mesh.ports import ShotChange
from services.vision.pipelines.read import TextLine
from services.vision.pipelines.video.track import Best, Track

MAX_TRACKS = 1000
MAX_SHOT_CHANGES = 10_000
MAX_TEXTS = 1000


@dataclass(frozen=True, slots=True)
class TrackSummary:
    """One thing or face from its first to its last appearance; see Track."""

    id: int
    name: str
    start_seconds: float
    end_seconds: float
    visible_seconds: float
    best: Best


@dataclass(slots=True)
class TextAppearance:
    """A text that was read: first, last, and how sure the best time."""

    text: str
    start_seconds: float
    end_seconds: float
    score: float


@dataclass(frozen=True, slots=True)
class VideoSummary:
    """The whole video. tracks: the longest first; tracks_omitted: how many more there were."""

    duration_seconds: float
    width: int
    height: int
    frames_decoded: int
    frames_analyzed: int
    damaged: bool
    tracks: list[TrackSummary]
    tracks_omitted: int
    shot_changes: list[ShotChange]
    texts: list[TextAppearance]


@dataclass
class Chronicle:
    """Takes in what happens, and sums it up."""

    _tracks: list[tuple[float, int, TrackSummary]] = field(default_factory=list)
    _tracks_omitted: int = 0
    _shot_changes: list[ShotChange] = field(default_factory=list)
    _texts: dict[str, TextAppearance] = field(default_factory=dict)

    def track_ended(self, track: Track) -> None:
        """Keep a track, if it is among the longest; of those as long the earlier ones."""
        summary = TrackSummary(
            track.id, track.name, track.start_seconds, track.end_seconds, track.visible_seconds, track.best
        )
        entry = (round(track.visible_seconds, 3), -track.id, summary)
        if len(self._tracks) < MAX_TRACKS:
            heapq.heappush(self._tracks, entry)
        else:
            heapq.heappushpop(self._tracks, entry)
            self._tracks_omitted += 1

    def shot_changed(self, change: ShotChange) -> None:
        """Keep where a shot begins, as long as there is room."""
        if len(self._shot_changes) < MAX_SHOT_CHANGES:
            self._shot_changes.append(change)

    def texts_read(self, offset: float, lines: Sequence[TextLine]) -> None:
        """Keep what was read, each text once, as long as there is room for new ones."""
        for line in lines:
            known = self._texts.get(line.text)
            if known is not None:
                known.end_seconds, known.score = offset, max(known.score, line.score)
            elif len(self._texts) < MAX_TEXTS:
                self._texts[line.text] = TextAppearance(line.text, offset, offset, line.score)

    def summary(
        self,
        *,
        duration_seconds: float,
        width: int,
        height: int,
        frames_decoded: int,
        frames_analyzed: int,
        damaged: bool,
    ) -> VideoSummary:
        """All of it, when the tracks have ended."""
        return VideoSummary(
            duration_seconds,
            width,
            height,
            frames_decoded,
            frames_analyzed,
            damaged,
            [summary for *_, summary in sorted(self._tracks, reverse=True)],
            self._tracks_omitted,
            self._shot_changes,
            list(self._texts.values()),
        )
