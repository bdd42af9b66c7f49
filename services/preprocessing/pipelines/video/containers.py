"""Which container a video came in, told from its first bytes, never guessed by FFmpeg (see pipelines.containers)."""

from __future__ import annotations

from services.preprocessing.pipelines.containers import Container

MP4 = Container("mp4", "mp4")
MOV = Container("mov", "mov")
MATROSKA = Container("matroska", "matroska")
WEBM = Container("webm", "matroska")
AVI = Container("avi", "avi")
MPEG_TS = Container("mpegts", "mpegts")
CONTAINERS = (AVI, MATROSKA, MOV, MP4, MPEG_TS, WEBM)
# In all of these the index may lie at the end.
MP4_LIKE = frozenset({MP4, MOV})

# What `recognize` has to see, if there is so much.
HEAD_BYTES = 1024

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_UNKNOWN = -1
# Boxes with which a QuickTime file begins that is older than "ftyp".
_OLD_BOXES = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_SYNC = 0x47
# Bytes from one packet of MPEG-TS to the next, and before the first mark: as sent, and as camcorders store it.
_TS_PACKETS = ((188, 0), (192, 4))
_TS_MARKS = 3


def recognize(head: bytes) -> Container | None:
    """The container of a video, or None for any other.  head: its first HEAD_BYTES bytes, or all there are."""
    kind = head[4:8]
    if kind == b"ftyp":
        return MOV if head[8:12] == b"qt  " else MP4
    if kind in _OLD_BOXES:
        return MOV
    if head[:4] == _EBML:
        return WEBM if b"webm" in head[:64] else MATROSKA
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return AVI
    if any(_marked(head, length, first) for length, first in _TS_PACKETS):
        return MPEG_TS
    return None


def _marked(head: bytes, length: int, first: int) -> bool:
    marks = head[first::length][:_TS_MARKS]
    return len(marks) > 1 and set(marks) == {_SYNC}


def declared_bytes(container: Container, head: bytes) -> int | None:
    """How long the file says that it is at least, None when it does not say.  head: as for `recognize`."""
    if container is AVI:
        return 8 + int.from_bytes(head[4:8], "little")
    if container not in {MATROSKA, WEBM}:
        return None
    header_bytes, at = _number(head, len(_EBML))
    at += header_bytes
    if head[at : at + len(_SEGMENT)] != _SEGMENT:
        return None
    size, at = _number(head, at + len(_SEGMENT))
    return None if size == _UNKNOWN else at + size


def _number(head: bytes, at: int) -> tuple[int, int]:
    """A size in Matroska and where it ends: its first set bit says of how many bytes, all the rest set is unknown."""
    first = head[at] if at < len(head) else 0
    length = 9 - first.bit_length()
    value = int.from_bytes(head[at : at + length]) & ((1 << 7 * length) - 1)
    return (_UNKNOWN if value == (1 << 7 * length) - 1 else value), at + length
