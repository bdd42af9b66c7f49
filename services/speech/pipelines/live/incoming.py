"""What a client sends: taken as it comes, so that it is known how long it waits, and within a bound."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from services.mesh import errors
from services.speech.pipelines.live.plan import Control

# Taken ahead of what is heard: a minute of 16 kHz LINEAR16. Then the client waits.
_MAX_BYTES, _MAX_ITEMS = 2 * 1024 * 1024, 1000
# Small chunks that wait are handed on together.
_JOINED_BYTES = 64 * 1024
_MAX_CONTROLS = 100
# What comes within so little time came together.
_TOGETHER_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Due:
    """A control, and how many bytes of sound came before it."""

    control: Control
    after_bytes: int


class Incoming:
    """The sound for the decoder, with the controls beside it."""

    def __init__(self, inputs: AsyncIterator[bytes | Control], clock: Callable[[], float] = time.monotonic) -> None:
        self._inputs = inputs
        self._clock = clock
        self._waiting: deque[bytes | Control] = deque()
        self._waiting_bytes = 0
        self._came = 0
        self._taken = 0
        self._changed = asyncio.Condition()
        self._closed = False
        # When the bytes up to a number came, of those that were not heard yet.
        self._arrivals: deque[tuple[int, float]] = deque()
        self.controls: deque[Due] = deque()
        self.control_came = asyncio.Event()
        # Why nothing more comes, when the client did not close the stream. It is told after all that came before.
        self.failure: errors.MeshError | None = None

    async def receive(self) -> None:
        """Take what comes until the client closes the stream or does something wrong."""
        try:
            async for item in self._inputs:
                async with self._changed:
                    await self._changed.wait_for(self._has_room)
                    self._waiting.append(item)
                    if isinstance(item, bytes):
                        self._came += len(item)
                        self._waiting_bytes += len(item)
                        self._arrived()
                    self._changed.notify_all()
        except errors.MeshError as error:
            self.failure = error
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def sound(self) -> AsyncIterator[bytes]:
        """The chunks for the decoder."""
        while chunk := await self._next():
            yield chunk

    async def begins(self) -> bool:
        """Wait for the first chunk. Controls before it are handed on. False when the stream ends without any."""
        async with self._changed:
            while True:
                await self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting or isinstance(self._waiting[0], bytes):
                    return bool(self._waiting)
                self._hand_over()
                self._changed.notify_all()

    def heard(self, received: int) -> None:
        """So many bytes have been heard."""
        while self._arrivals and self._arrivals[0][0] <= received:
            self._arrivals.popleft()

    def waits_since(self) -> float | None:
        """When the oldest sound came that was not heard yet."""
        return self._arrivals[0][1] if self._arrivals else None

    def _arrived(self) -> None:
        now = self._clock()
        if self._arrivals and now - self._arrivals[-1][1] < _TOGETHER_SECONDS:
            now = self._arrivals.pop()[1]
        self._arrivals.append((self._came, now))

    def _has_room(self) -> bool:
        return self._waiting_bytes < _MAX_BYTES and len(self._waiting) < _MAX_ITEMS

    async def _next(self) -> bytes:
        """The chunks that wait, up to the next control; b"" at the end."""
        async with self._changed:
            while True:
                await self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return b""
                found: list[bytes] = []
                size = 0
                while self._waiting and isinstance(chunk := self._waiting[0], bytes):
                    if found and size + len(chunk) > _JOINED_BYTES:
                        break
                    self._waiting.popleft()
                    found.append(chunk)
                    size += len(chunk)
                if not found:
                    self._hand_over()
                self._taken += size
                self._waiting_bytes -= size
                self._changed.notify_all()
                if found:
                    return b"".join(found)

    def _hand_over(self) -> None:
        """The control that is next. Raises InvalidArgument when too many wait for the sound before them."""
        control = self._waiting.popleft()
        if len(self.controls) >= _MAX_CONTROLS:
            self.failure = errors.InvalidArgument.field(
                "control", f"at most {_MAX_CONTROLS} may wait until the sound before them was heard"
            )
            self._waiting.clear()
            self._closed = True
            return
        if not isinstance(control, bytes):
            self.controls.append(Due(control, self._taken))
            self.control_came.set()
