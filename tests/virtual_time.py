"""A clock for tests that only moves when there is nothing to do, so that delays cost nothing and times are exact."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from unittest.mock import patch

T = TypeVar("T")

# A whole number, so that delays of halves, quarters and so on are added without rounding.
BEGIN_SECONDS = 1024.0


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop that does not wait for a timer: it moves its clock there. For work without threads and sockets."""

    def __init__(self) -> None:
        self.now = BEGIN_SECONDS
        super().__init__(_Jump(self))

    def time(self) -> float:
        """Seconds."""
        return self.now


class _Jump(selectors.SelectSelector):
    """Moves the clock where another selector would wait."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if timeout is None and not ready:
            raise AssertionError("every task waits for something that will never happen")
        if not ready:
            self._loop.now += timeout or 0.0
        return ready


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end. Inside, time.monotonic and the loop have the same virtual clock."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        loop = runner.get_loop()
        with patch("time.monotonic", loop.time):
            return runner.run(main)


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make an asynchronous test one that runs by the virtual clock."""

    @functools.wraps(test)
    def run_it(*args: Any, **kwargs: Any) -> None:
        run(test(*args, **kwargs))

    return run_it
