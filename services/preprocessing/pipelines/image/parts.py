"""Counts the parts of a picture's file before Pillow meets them.

Pillow reads chunks, segments, extensions, tags and runs one by one in Python, and keeps the interpreter to itself. A
file of 20 MiB can have millions of them, which would stop the whole process for minutes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from PIL import JpegImagePlugin

MAX_PARTS = 50_000
# Of metadata as cameras and editors write it: a kilobyte or, with a thumbnail, some sixty.
MAX_EXIF_BYTES = 1024 * 1024

# Pillow unpacks them in Python: two bytes, which may stand for one pixel, take some microseconds.
MAX_BMP_RUNS_BYTES = 1024 * 1024

_EXIF = b"Exif\0\0"
_ESCAPED, _SCAN, _APP1, _FILL = 0xFF00, 0xFFDA, 0xFFE1, 0xFFFF
_GIF_HEADER_BYTES = 13
_TIFF_BYTE_TYPES = frozenset({1, 2, 6, 7})


class TooManyParts(Exception):
    """A file is made of more parts than a picture has. Its text names the limit."""


def check_parts(content: bytes) -> None:
    """Raise TooManyParts for a picture of more parts than MAX_PARTS, or of more metadata than MAX_EXIF_BYTES.

    What is no picture, or damaged, is left to the decoders.
    """
    for magic, check in _CHECKS.items():
        if content.startswith(magic):
            try:
                check(content)
            except (
                IndexError,
                OverflowError,
                struct.error,
            ):  # it ends in the middle of a part, or leads beyond its end
                return


def _counted(parts: int, kind: str) -> int:
    if parts >= MAX_PARTS:
        raise TooManyParts(f"takes at most {MAX_PARTS} {kind}")
    return parts + 1


def _check_exif(size: int) -> None:
    if size > MAX_EXIF_BYTES:
        raise TooManyParts(f"takes EXIF data of at most {MAX_EXIF_BYTES} bytes")


def _jpeg(content: bytes) -> None:
    """Up to the first scan, step by step as Pillow goes: it looks into segments that it does not know."""
    at, parts, exif = 2, 0, 0
    while True:
        found = content.find(b"\xff", at)
        if (len(content) if found < 0 else found) - at > MAX_PARTS:
            raise TooManyParts(f"takes at most {MAX_PARTS} bytes between segments")
        if found < 0:
            return
        parts = _counted(parts, "segments before the first scan")
        marker = 0xFF00 | content[found + 1]
        if marker == _FILL:
            at = found + 1
        elif marker == _ESCAPED:
            at = found + 2
        elif marker == _SCAN or marker not in JpegImagePlugin.MARKER:
            return
        elif JpegImagePlugin.MARKER[marker][2] is None:
            at = found + 2
        else:
            (size,) = struct.unpack_from(">H", content, found + 2)
            at = found + 2 + size
            if marker == _APP1 and content.startswith(_EXIF, found + 4):
                exif += size
                _check_exif(exif)


def _png(content: bytes) -> None:
    at, parts = 8, 0
    while True:
        parts = _counted(parts, "chunks")
        size, kind = struct.unpack_from(">I4s", content, at)
        if kind == b"eXIf":
            _check_exif(size)
        at += size + 12


def _gif(content: bytes) -> None:
    """Up to the first frame."""
    flags = content[10]
    at, parts = _GIF_HEADER_BYTES + (3 << (flags & 7) + 1 if flags & 0x80 else 0), 0
    while content[at] == ord("!"):
        at += 2
        while size := content[at]:
            parts = _counted(parts, "blocks before the first frame")
            at += size + 1
        parts = _counted(parts, "blocks before the first frame")
        at += 1


def _bmp(content: bytes) -> None:
    (compression,) = struct.unpack_from("<I", content, 30)
    if compression in {1, 2} and len(content) > MAX_BMP_RUNS_BYTES:
        raise TooManyParts(f"takes a BMP in runs of at most {MAX_BMP_RUNS_BYTES} bytes")


def _tiff(content: bytes) -> None:
    """The tags of the first page; those of bytes and texts are taken as they are, whatever their length."""
    order = "<" if content.startswith(b"I") else ">"
    if struct.unpack_from(order + "H", content, 2) == (43,):
        (at,) = struct.unpack_from(order + "Q", content, 8)
        (tags,) = struct.unpack_from(order + "Q", content, at)
        at, step, entry = at + 8, 20, order + "HHQ"
    else:
        (at,) = struct.unpack_from(order + "I", content, 4)
        (tags,) = struct.unpack_from(order + "H", content, at)
        at, step, entry = at + 2, 12, order + "HHI"
    for index in range(min(tags, MAX_PARTS)):
        _, kind, count = struct.unpack_from(entry, content, at + index * step)
        if kind not in _TIFF_BYTE_TYPES and count > MAX_PARTS:
            raise TooManyParts(f"takes at most {MAX_PARTS} strips, tiles, or values of another tag")


_CHECKS: Mapping[bytes, Callable[[bytes], None]] = {
    b"\xff\xd8": _jpeg,
    b"\x89PNG": _png,
    b"GIF8": _gif,
    b"BM": _bmp,
    b"II": _tiff,
    b"MM": _tiff,
}
