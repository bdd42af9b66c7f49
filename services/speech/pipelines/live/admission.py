"""Refuses live streams that the machine could not keep up with, so that those it has do not fall behind."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.mesh import errors

# Over which the load is measured, and after which a stream counts by what it took and not by what others take.
_WINDOW_SECONDS, _KNOWN_SECONDS = 20.0, 10.0
# The share of a recogniser that a stream takes of which nothing is known, and at least that of one that is silent now.
_EXPECTED_SHARE, _LEAST_SHARE = 0.2, 0.1
# What final readings may take of the recognisers; the rest is for interim ones, and for when many end at once.
_CAPACITY = 0.5
# A stream so far behind means that the machine does not keep up, whatever the shares say.
_MAX_LAG_SECONDS = 3.0
_RETRY_SECONDS = 5.0


class Place:
    """What one stream takes. lag: how far it is behind, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.lag: Callable[[], float] = lambda: 0.0
        self._clock = clock
        self._began = clock()
        self._spent: deque[tuple[float, float]] = deque()

    def spend(self, seconds: float) -> None:
        """A final reading took so long."""
        self._spent.append((self._clock(), seconds))
        self._forget()

    @property
    def known(self) -> bool:
        """Whether it runs long enough to tell what it takes."""
        return self._clock() - self._began >= _KNOWN_SECONDS

    @property
    def share(self) -> float:
        """Of one recogniser, lately."""
        self._forget()
        age = min(_WINDOW_SECONDS, max(self._clock() - self._began, 1.0))
        return max(sum(seconds for _, seconds in self._spent) / age, _LEAST_SHARE)

    def _forget(self) -> None:
        while self._spent and self._spent[0][0] < self._clock() - _WINDOW_SECONDS:
            self._spent.popleft()


class Admission:
    """The live streams that run."""

    def __init__(self, *, max_live_streams: int, recognizers: int, clock: Callable[[], float] = time.monotonic) -> None:
        """recognizers: how many readings the model does at once."""
        self._max_live_streams = max_live_streams
        self._recognizers = recognizers
        self._clock = clock
        self._places: set[Place] = set()

    @property
    def places(self) -> int:
        """How many run."""
        return len(self._places)

    @contextmanager
    def place(self) -> Iterator[Place]:
        """A place for one more live stream. Raises Exhausted."""
        self._require_room()
        place = Place(self._clock)
        self._places.add(place)
        try:
            yield place
        finally:
            self._places.discard(place)

    def _require_room(self) -> None:
        places = len(self._places)
        if places >= self._max_live_streams:
            raise _refused(f"{places} live streams run already, as many as may", places)
        if any(place.lag() > _MAX_LAG_SECONDS for place in self._places):
            raise _refused("the live streams that run are behind already", places)
        known = [place.share for place in self._places if place.known]
        typical = sum(known) / len(known) if known else _EXPECTED_SHARE
        load = sum(known) + typical * (places - len(known) + 1)
        # One alone is never refused: it gets what there is, and is told its lag.
        if places and load > _CAPACITY * self._recognizers:
            raise _refused(f"the machine cannot keep up with more than the {places} live streams that run", places)


def _refused(sentence: str, places: int) -> errors.Exhausted:
    return errors.Exhausted(
        f"{sentence}; a recording may be sent with config.recorded, and waits",
        reason="TOO_MANY_LIVE_STREAMS",
        metadata={"live_streams": str(places)},
        retry_after_seconds=_RETRY_SECONDS,
    )
