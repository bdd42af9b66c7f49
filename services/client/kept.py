"""The sound that may have to be sent again."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from maas.speech.v1 import live_pb2 as pb

# At most so much is one message; the service takes up to a megabyte.
_MESSAGE_BYTES = 64 * 1024


class SourceFailed(Exception):
    """The caller's own sound raised; the cause tells what."""


@dataclass(frozen=True, slots=True)
class _Item:
    """A piece of sound, or a control, and the byte at which it stands."""

    position: int
    what: bytes | pb.StreamControl


class Kept:
    """Everything from the byte on that the service has not accounted for, at most `limit_bytes`.

    When it is full, the source is not read until something is accounted for. A container is accounted for only at its
    end, since nobody can begin in its middle: one that outgrows the limit is sent on without being kept.
    """

    def __init__(self, limit_bytes: int, *, container: bool, begin: int = 0) -> None:
        """begin: number of the first byte that will be read."""
        self._limit = limit_bytes
        self._container = container
        self._items: deque[_Item] = deque()
        # How many items were let go, and how many were sent by this call or let go before it.
        self._gone = self._next = 0
        # Bytes: the first kept, the next to be sent, the next to be read.
        self._begin = self._sent = self._end = begin
        self._full = self._ended = False
        self._failure: BaseException | None = None
        # Something came that can be sent; something went, so that there is room.
        self._news, self._room = asyncio.Event(), asyncio.Event()

    @property
    def held_bytes(self) -> int:
        """How much is kept."""
        return self._end - self._begin

    def has(self, position: int) -> bool:
        """Whether the sound can be sent again from this byte on."""
        return position >= self._begin

    async def fill(self, source: AsyncIterator[bytes | pb.StreamControl]) -> None:
        """Read a source to its end. What it raises is raised where the sound is sent."""
        try:
            async for each in source:
                if isinstance(each, pb.StreamControl):
                    self._append(each)
                    continue
                for start in range(0, len(each), _MESSAGE_BYTES):
                    piece = bytes(each[start : start + _MESSAGE_BYTES])
                    while self.held_bytes and self.held_bytes + len(piece) > self._limit:
                        self._full = True
                        self._room.clear()
                        # Whoever sends may wait for more; now it sees that no more comes.
                        self._news.set()
                        await self._room.wait()
                        self._full = False
                    self._append(piece)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's
            self._failure = error
        finally:
            self._ended = True
            self._news.set()

    def _append(self, what: bytes | pb.StreamControl) -> None:
        self._items.append(_Item(self._end, what))
        if isinstance(what, bytes):
            self._end += len(what)
        self._news.set()

    async def replay(self) -> AsyncIterator[pb.StreamingRecognizeRequest]:
        """All that is kept, and then what comes. Raises SourceFailed where the source failed."""
        self._next, self._sent = self._gone, self._begin
        while True:
            while self._next - self._gone < len(self._items):
                item = self._items[self._next - self._gone]
                self._next += 1
                if isinstance(item.what, bytes):
                    self._sent = item.position + len(item.what)
                    yield pb.StreamingRecognizeRequest(audio_content=item.what)
                else:
                    yield pb.StreamingRecognizeRequest(control=item.what)
            if self._ended:
                break
            if self._full and self._container:
                self._let_go(self._sent)
            self._news.clear()
            await self._news.wait()
        if self._failure is not None:
            raise SourceFailed from self._failure

    def acknowledge(self, position: int, *, turn_over: bool) -> list[pb.StreamControl]:
        """Let go what lies before a byte. Returns the controls that are let go, in their order.

        Of controls that stand at this very byte, those that end a turn are still to come unless it is over.
        """
        position = min(position, self._sent)
        controls = self._let_go(position)
        while self._gone < self._next and isinstance(control := self._items[0].what, pb.StreamControl):
            if self._items[0].position > position or not (turn_over or control.HasField("discard_utterance")):
                break
            controls.append(control)
            self._items.popleft()
            self._gone += 1
        return controls

    def _let_go(self, position: int) -> list[pb.StreamControl]:
        controls: list[pb.StreamControl] = []
        while self._items and self._items[0].position < position:
            item = self._items[0]
            if isinstance(item.what, bytes) and item.position + len(item.what) > position:
                self._items[0] = _Item(position, item.what[position - item.position :])
                break
            self._items.popleft()
            self._gone += 1
            if isinstance(item.what, pb.StreamControl):
                controls.append(item.what)
        self._begin = max(self._begin, position)
        self._room.set()
        return controls
