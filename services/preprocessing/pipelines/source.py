"""A file as FFmpeg reads it while it comes: whatever has come, and no more of it than leads to frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, Protocol

from services.mesh import errors

FIELD = "content"
_MEBIBYTE = 1024 * 1024
# Bytes that may be read from one frame to the next: the headers of a long film, or a picture of a video without
# compression between its frames, are less. FFmpeg keeps what it has read of a frame in memory.
MAX_BYTES_A_FRAME = 32 * _MEBIBYTE


class Readable(Protocol):
    """What bytes come from."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes, empty at the end."""
        ...


class Source:
    """The bytes of the file in order, whatever the chunks in which they came.

    received: bytes so far. ended: whether there are no more.
    """

    def __init__(self, read_chunk: Callable[[], bytes]) -> None:
        """read_chunk: waits for the next chunk, which is empty at the end."""
        self._read_chunk = read_chunk
        self._waiting = memoryview(b"")
        self.received = 0
        self.ended = False

    def peek(self, size: int) -> bytes:
        """The next bytes, fewer only at the end; they stay to be read."""
        head = self.read_whole(size)
        self.unread(head)
        return head

    def unread(self, head: bytes) -> None:
        """Put bytes back that were read last."""
        self._waiting = memoryview(head + bytes(self._waiting))

    def read(self, size: int) -> bytes:
        """At most so many bytes, empty at the end."""
        if not self._waiting and not self.ended:
            self._waiting = memoryview(self._read_chunk())
            self.received += len(self._waiting)
            self.ended = not self._waiting
        piece, self._waiting = self._waiting[:size], self._waiting[size:]
        return bytes(piece)

    def read_whole(self, size: int) -> bytes:
        """So many bytes, fewer only at the end."""
        pieces = bytearray()
        while len(pieces) < size and (piece := self.read(size - len(pieces))):
            pieces += piece
        return bytes(pieces)


class Metered:
    """A stream for FFmpeg that ends when too much of it leads to no frame.

    To FFmpeg and PyAV any failure is the end of the file; `check` says what it was.
    """

    def __init__(self, source: Readable, *, field: str = FIELD, max_bytes: int = MAX_BYTES_A_FRAME) -> None:
        """max_bytes: from one frame to the next. field: the file's name in errors."""
        self._source = source
        self._field = field
        self._max_bytes = max_bytes
        self._since_frame = 0
        self._failure: Exception | None = None

    def read(self, size: int) -> bytes:
        """At most so many bytes, empty at the end."""
        if self._failure is not None:
            return b""
        try:
            piece = self._source.read(size)
            self._count(len(piece))
        except Exception as error:  # noqa: BLE001 - raised again by `check`
            self._failure = error
            return b""
        return piece

    def check(self) -> None:
        """Raise what went wrong while FFmpeg read: what the source raised, or InvalidArgument."""
        if self._failure is not None:
            raise self._failure

    def frame_came(self) -> None:
        """Count from here."""
        self._since_frame = 0

    def _count(self, size: int) -> None:
        self._since_frame += size
        if self._since_frame > self._max_bytes:
            raise errors.InvalidArgument.field(
                self._field, f"takes at most {self._max_bytes // _MEBIBYTE} MiB from one frame to the next"
            )


class MeteredFile(Metered):
    """The same for a file in which FFmpeg may move about."""

    def __init__(self, file: BinaryIO, *, field: str = FIELD) -> None:
        super().__init__(file, field=field)
        self._file = file

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Where it stands."""
        return self._file.tell()
