"""Stops asking what does not answer, and finds out when it does again."""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from services.mesh import errors

T = TypeVar("T")

CIRCUIT_OPEN = "CIRCUIT_OPEN"

_WINDOW_SECONDS = 10.0
_FEWEST = 10
_FAILING_SHARE = 0.5
_KEPT = 200
_OPEN_SECONDS, _LONGEST_SECONDS = 1.0, 30.0
_MAX_TARGETS = 1024
# What tells of a sick service, and not of a wrong request or of one too many.
_SICK = (errors.Unavailable, errors.Internal)
# A place that the caller named, and not the service, does not answer.
MEDIA_UNAVAILABLE = "MEDIA_UNAVAILABLE"
# Nobody waited for the answer; a caller's short deadline must not count against the service either.
_UNTOLD = (errors.DeadlineExceeded, errors.Cancelled)


class Breaker:
    """Of one upstream and model: closed, open (asked nothing), or half open (asked once).

    It opens when half of at least ten calls of the last ten seconds failed by the service's fault, for a second, and
    for twice as long each time that the one call made then fails too, up to half a minute. The others wait for that
    one: it may be another node of the same graph, which would be cancelled if they failed.
    """

    def __init__(self, name: str) -> None:
        """name: what errors call the upstream."""
        self._name = name
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=_KEPT)
        self._open_until = 0.0
        self._open_seconds = _OPEN_SECONDS
        self._opened = False
        # Set when the one call has ended.
        self._probed: asyncio.Event | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls are refused, all but one."""
        return self._opened

    async def call(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What the attempt gives. Raises Unavailable with the reason CIRCUIT_OPEN without making it."""
        while self._probed is not None:
            await self._probed.wait()
        if not self._opened:
            with self._counted():
                return await attempt()
        remaining = self._open_until - time.monotonic()
        if remaining > 0:
            raise errors.Unavailable(
                f"{self._name} fails too often and is not asked for the moment",
                reason=CIRCUIT_OPEN,
                metadata={"upstream": self._name},
                retry_after_seconds=max(remaining, 0.1),
            )
        self._probed = asyncio.Event()
        try:
            answer = await attempt()
        except _UNTOLD:
            # The next call is the one that finds out.
            raise
        except errors.MeshError as error:
            if _is_sick(error):
                self._open()
            else:
                self._close()
            raise
        else:
            self._close()
            return answer
        finally:
            self._probed.set()
            self._probed = None

    @contextmanager
    def _counted(self) -> Iterator[None]:
        try:
            yield
        except _UNTOLD:
            raise
        except errors.MeshError as error:
            self._count(_is_sick(error))
            raise
        self._count(failed=False)

    def _count(self, failed: bool) -> None:  # noqa: FBT001 - a count of one or the other
        now = time.monotonic()
        self._outcomes.append((now, failed))
        if not failed or self._opened:
            return
        while self._outcomes[0][0] < now - _WINDOW_SECONDS:
            self._outcomes.popleft()
        failures = sum(failed for _, failed in self._outcomes)
        if len(self._outcomes) >= _FEWEST and failures >= _FAILING_SHARE * len(self._outcomes):
            self._open()

    def _open(self) -> None:
        # Several routers should not all knock at once.
        self._open_until = time.monotonic() + self._open_seconds * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
        self._open_seconds = min(2 * self._open_seconds, _LONGEST_SECONDS)
        self._opened = True

    def _close(self) -> None:
        self._opened = False
        self._open_seconds = _OPEN_SECONDS
        self._outcomes.clear()


def _is_sick(error: errors.MeshError) -> bool:
    """Whether it was the service; otherwise it answered, if not as wished."""
    return isinstance(error, _SICK) and error.reason != MEDIA_UNAVAILABLE


class Breakers:
    """One for each upstream and model, those asked last."""

    def __init__(self) -> None:
        self._breakers: OrderedDict[tuple[str, str], Breaker] = OrderedDict()

    def of(self, service: str, model: str) -> Breaker:
        """That of a service and a model, "" being its default."""
        key = (service, model)
        found = self._breakers.get(key)
        if found is None:
            found = self._breakers[key] = Breaker(f"{service} with model {model!r}" if model else service)
            if len(self._breakers) > _MAX_TARGETS:
                self._breakers.popitem(last=False)
        else:
            self._breakers.move_to_end(key)
        return found

    def open_count(self) -> int:
        """How many refuse calls. Any thread may ask: that which exports metrics is not the loop's."""
        return sum(breaker.is_open for breaker in list(self._breakers.values()))
