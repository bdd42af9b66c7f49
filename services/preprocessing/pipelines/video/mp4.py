"""MP4 as it comes in: its boxes are looked at before FFmpeg sees them, and it is found out where its index lies."""

from __future__ import annotations

from typing import BinaryIO

from services.mesh import errors
from services.preprocessing.pipelines.containers import MAX_MP4_SAMPLES, mp4_samples
from services.preprocessing.pipelines.source import FIELD, Source

_MEBIBYTE = 1024 * 1024
# Of a box that is no media data. The index of a film of two hours has some 10 MiB.
MAX_BOX_BYTES = 24 * _MEBIBYTE
_PIECE_BYTES = 256 * 1024

_SIZE_AND_KIND = 8
_LONG_SIZE = 16
# A box of size 0 goes on to the end of the file.
_TO_THE_END = 1 << 62


class Mp4Source:
    """Gives the file as it is. Everything but media data is read box by box, whole, and checked.

    truncated: whether the file ended inside a box.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._ready = b""
        self._media_bytes = 0
        self._samples = 0
        self._to_the_end = False
        self.truncated = False

    def index_comes_first(self) -> bool:
        """Read up to the index or the media data; whether it was the index. Called before anything is read."""
        ready = []
        kind = b""
        while kind not in {b"moov", b"mdat"} and (kind := self._next_box()):
            ready.append(self._ready)
        self._ready = b"".join(ready)
        return kind != b"mdat"

    def read(self, size: int) -> bytes:
        """At most so many bytes, empty at the end."""
        if not self._ready and not self._media_bytes:
            self._next_box()
        if self._ready:
            piece, self._ready = self._ready[:size], self._ready[size:]
            return piece
        piece = self._source.read(min(size, self._media_bytes))
        self._media_bytes -= len(piece)
        if not piece and self._media_bytes:
            self._media_bytes = 0
            self.truncated = not self._to_the_end
        return piece

    def spool(self, file: BinaryIO, max_bytes: int) -> None:
        """Write all of it to a file. Raises InvalidArgument when it is larger."""
        written = 0
        while piece := self.read(_PIECE_BYTES):
            written += len(piece)
            if written > max_bytes:
                raise errors.InvalidArgument.field(
                    FIELD,
                    f"takes at most {max_bytes // _MEBIBYTE} MiB of a file whose index is at its end; "
                    "an MP4 made for streaming has it in front",
                )
            file.write(piece)
        file.seek(0)

    def _next_box(self) -> bytes:
        """Make the next box ready, of media data its header; its kind, empty at the end of the file."""
        header = self._source.read_whole(_SIZE_AND_KIND)
        size, kind = int.from_bytes(header[:4]), header[4:]
        if size == 1:
            header += self._source.read_whole(_LONG_SIZE - _SIZE_AND_KIND)
            size = int.from_bytes(header[_SIZE_AND_KIND:])
        elif size == 0:
            size = _TO_THE_END
        if len(header) < _SIZE_AND_KIND:
            self._ready, self.truncated = header, self.truncated or bool(header)
            return b""
        if size < len(header):
            raise errors.InvalidArgument.field(FIELD, "is a damaged MP4")
        if kind == b"mdat":
            self._ready = header
            self._media_bytes = size - len(header)
            self._to_the_end = size == _TO_THE_END
            return kind
        self._ready = header + self._body(size - len(header))
        return kind

    def _body(self, size: int) -> bytes:
        """The rest of a box. Raises InvalidArgument when it is too large, or declares too much."""
        body = self._source.read_whole(min(size, MAX_BOX_BYTES + 1))
        if len(body) > MAX_BOX_BYTES:
            raise errors.InvalidArgument.field(FIELD, f"takes boxes beside the media data of {MAX_BOX_BYTES} bytes")
        self.truncated = self.truncated or (len(body) < size < _TO_THE_END)
        self._samples += mp4_samples(_FREE_HEADER + body)
        if self._samples > MAX_MP4_SAMPLES:
            raise errors.InvalidArgument.field(FIELD, f"takes an MP4 of at most {MAX_MP4_SAMPLES} samples")
        return body


# Makes `mp4_samples` look into all that follows.
_FREE_HEADER = b"\0\0\0\0moov"
