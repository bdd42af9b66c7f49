"""Shares the recogniser fairly among streams and recordings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from services.mesh.timing import Stage, stage

T = TypeVar("T")


class Priority(IntEnum):
    """Who comes first."""

    FINAL = 0
    INTERIM = 1
    RECORDED = 2


@dataclass(eq=False, slots=True)
class _Waiting:
    stream: object
    priority: Priority
    turn: asyncio.Future[None]


class Schedule:
    """So many readings at once; the rest wait for their turn: first by priority, then the stream that waited longest.

    Bounded by its callers: a stream has a final reading and an interim one waiting at most.
    """

    def __init__(self, at_once: int) -> None:
        """at_once: as many as the model has instances."""
        self.at_once = at_once
        self._free = at_once
        self._waiting: list[_Waiting] = []
        self._running: set[asyncio.Future[Any]] = set()
        # When each stream was served last, by a count.
        self._served: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        self._count = 0

    @property
    def idle(self) -> bool:
        """Whether a reading could begin at once."""
        return self._free > 0

    @property
    def waiting(self) -> int:
        """Readings whose turn has not come."""
        return len(self._waiting)

    async def run(self, stream: object, priority: Priority, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives, which begins when it is its turn.

        A caller that gives up while it waits loses its place. What runs, runs to its end: the model is not free before.
        """
        with stage(Stage.QUEUE):
            await self._turn(stream, priority)
        running = asyncio.ensure_future(work())
        self._running.add(running)
        running.add_done_callback(self._done)
        return await asyncio.shield(running)

    async def _turn(self, stream: object, priority: Priority) -> None:
        turn = asyncio.get_running_loop().create_future()
        waiting = _Waiting(stream, priority, turn)
        self._waiting.append(waiting)
        self._next()
        try:
            await turn
        except asyncio.CancelledError:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            else:
                self._free += 1
                self._next()
            raise

    def _next(self) -> None:
        while self._free and self._waiting:
            waiting = min(self._waiting, key=lambda each: (each.priority, self._served.get(each.stream, -1)))
            self._waiting.remove(waiting)
            self._free -= 1
            self._count += 1
            self._served[waiting.stream] = self._count
            waiting.turn.set_result(None)

    def _done(self, running: asyncio.Future[Any]) -> None:
        self._running.discard(running)
        # One whose caller has gone must not complain of an error that nobody asked for.
        if not running.cancelled():
            running.exception()
        self._free += 1
        self._next()
