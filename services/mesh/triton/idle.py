"""Lets calls of low priority wait until a model has nothing else to do."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from services.mesh import errors
from services.mesh.instruments import QUEUE, QUEUE_WAITING

if TYPE_CHECKING:
    from services.mesh.deadline import Deadline


class IdleTime:
    """A line of such calls for each model; each is let in when fewer calls are under way than the model has instances.

    Triton's own priorities need a queue policy, with which the embedded server stalls. Here a call of low priority
    delays others by no more than one execution.
    """

    def __init__(self, inflight: Mapping[str, int], most: int) -> None:
        """inflight: calls under way by model, kept up to date by the caller. most: that may wait for one model."""
        self._inflight = inflight
        self._most = most
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}
        QUEUE_WAITING.ask(self, lambda idle: [(sum(map(len, list(idle._lines.values()))), {QUEUE: "low priority"})])  # noqa: SLF001 - its own

    async def turn(self, model: str, instances: int, deadline: Deadline) -> None:
        """Wait for idle time, half of the time that remains at most. Raises Exhausted when there is none."""
        if self._inflight.get(model, 0) < instances:
            return
        line = self._lines.setdefault(model, deque())
        if len(line) >= self._most:
            raise _busy(model)
        turn = asyncio.get_running_loop().create_future()
        line.append(turn)
        try:
            async with asyncio.timeout(deadline.require_seconds() / 2):
                await turn
        except TimeoutError:
            raise _busy(model) from None
        except asyncio.CancelledError:
            if turn.done():
                self.ended(model, instances)  # whoever is next takes the turn
            raise
        finally:
            with suppress(ValueError):
                line.remove(turn)

    def ended(self, model: str, instances: int) -> None:
        """A call has ended, so that the next in line may go in."""
        line = self._lines.get(model)
        while line and self._inflight.get(model, 0) < instances:
            turn = line.popleft()
            if not turn.done():
                turn.set_result(None)
                return


def _busy(model: str) -> errors.Exhausted:
    return errors.Exhausted(
        f"model {model!r} had no idle time for a call of low priority",
        reason="NO_IDLE_TIME",
        metadata={"model": model},
        retry_after_seconds=1,
    )
