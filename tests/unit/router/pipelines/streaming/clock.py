"""A loop whose time passes at once when all that runs in it waits: delays of any length in no time, not by chance."""

import asyncio
import selectors
from unittest import mock


class _Selector:
    """Moves the clock on instead of waiting."""

    def __init__(self):
        self.now = 1000.0
        self._selector = selectors.DefaultSelector()

    def __getattr__(self, name):
        return getattr(self._selector, name)

    def select(self, timeout=None):
        if timeout is None:
            raise RuntimeError("everything waits for something that will never happen")
        self.now += max(0, timeout)
        return self._selector.select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self):
        self.clock = _Selector()
        super().__init__(self.clock)

    def time(self):
        return self.clock.now


def run(main):
    """Run a coroutine in virtual time; gives its result."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        loop = runner.get_loop()
        with mock.patch("time.monotonic", loop.time):
            return runner.run(main)
