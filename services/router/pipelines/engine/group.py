"""Several things done at the same time, of which so many must succeed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from services.mesh import errors

Work = Callable[[], Awaitable[object]]


async def together(works: Sequence[Work], quorum: int | None = None) -> None:
    """Run all at once until `quorum` have succeeded, by default all; the others are cancelled then and have ended.

    Raises the first failure as soon as so many have failed that the quorum is out of reach, and at once what is no
    MeshError. Cancelling it cancels all.
    """
    await _Group(works, len(works) if quorum is None else quorum).run()


async def each(items: Iterable[Any], work: Callable[[Any], Awaitable[object]], *, at_once: int) -> list[object]:
    """What `work` makes of each item, in order, so many at the same time; the first failure cancels the others."""
    items = list(items)
    if min(at_once, len(items)) <= 1:
        return [await work(item) for item in items]
    results: list[object] = [None] * len(items)
    numbered = iter(enumerate(items))

    async def go() -> None:
        for number, item in numbered:
            results[number] = await work(item)

    await together([go] * min(at_once, len(items)))
    return results


class _Group:
    """Tasks of which each stops the others itself, at the moment in which it ends what they are for.

    An asyncio.TaskGroup learns of a failure a turn of the loop later, in which others begin something new, and leaves
    the task that waits for it counted as cancelled, so that a timeout around it is not recognised any more (in 3.11).
    """

    def __init__(self, works: Sequence[Work], quorum: int) -> None:
        self._works = works
        self._wanted = quorum
        self._spare = len(works) - quorum
        self._tasks: list[asyncio.Task[None]] = []
        self._over = False
        self._first: errors.MeshError | None = None
        self._raise: BaseException | None = None

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._run(work)) for work in self._works]
        cancelled: asyncio.CancelledError | None = None
        while any(not task.done() for task in self._tasks):
            try:
                await asyncio.wait(self._tasks)
            except asyncio.CancelledError as error:
                cancelled = error
                self._stop()
        if cancelled is not None:
            raise cancelled
        if self._raise is not None:
            raise self._raise

    async def _run(self, work: Work) -> None:
        try:
            await work()
        except errors.MeshError as error:
            self._first = self._first or error
            self._spare -= 1
            if self._spare < 0:
                self._end(self._first)
        except BaseException as error:  # noqa: BLE001 - it is raised by run
            self._end(error)
        else:
            self._wanted -= 1
            if self._wanted == 0:
                self._end(None)

    def _end(self, error: BaseException | None) -> None:
        if not self._over:
            self._raise = error
            self._stop()

    def _stop(self) -> None:
        self._over = True
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()
