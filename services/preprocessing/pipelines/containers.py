"""Which container a recording came in, told from its first bytes, never guessed by FFmpeg.

FFmpeg's own guess would also open playlists, which name other files and addresses to read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Samples that all tables of an MP4 may declare; ten minutes of the shortest Opus packets are 240,000. FFmpeg takes
# memory for each before it reads one, so that a file of some kilobytes could take gigabytes.
MAX_MP4_SAMPLES = 2_000_000

_SYNC, _LAYER = 0xFFE0, 0x0006
_AAC_MASK, _AAC_BITS = 0xFFF6, 0xFFF0

ID3_HEADER_BYTES = 10
_ID3_FOOTER_FLAG = 0x10
# Tags may follow each other, and zeros may follow a tag.
MAX_ID3_TAGS = 8
MAX_PADDING_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Container:
    """A format that holds a recording. name: for people. demuxer: FFmpeg's."""

    name: str
    demuxer: str


WAV = Container("wav", "wav")
FLAC = Container("flac", "flac")
OGG = Container("ogg", "ogg")
MP3 = Container("mp3", "mp3")
AAC = Container("aac", "aac")
WEBM = Container("webm", "matroska")
MP4 = Container("mp4", "mp4")
CONTAINERS = (AAC, FLAC, MP3, MP4, OGG, WAV, WEBM)
# What `recognize` has to see behind the tags, if there is so much.
HEAD_BYTES = 64

_EBML = b"\x1a\x45\xdf\xa3"


def recognize(content: bytes) -> Container | None:
    """The container of a recording, or None for any other."""
    begin = _after_id3(content)
    head = (content[begin : begin + MAX_PADDING_BYTES].lstrip(b"\0") if begin else content)[:HEAD_BYTES]
    if head[:4] in {b"RIFF", b"RF64"} and head[8:12] == b"WAVE":
        return WAV
    if head[4:8] == b"ftyp":
        return MP4
    if head[:4] in {b"fLaC", b"OggS"}:
        return FLAC if head[:4] == b"fLaC" else OGG
    if head[:4] == _EBML and b"webm" in head:
        return WEBM
    return _mpeg(head)


def _mpeg(head: bytes) -> Container | None:
    """A frame of MPEG audio begins with twelve set bits (eleven in MPEG 2.5); two more name the layer, 0 in AAC."""
    bits = int.from_bytes(head[:2])
    if bits & _AAC_MASK == _AAC_BITS:
        return AAC
    return MP3 if bits & _SYNC == _SYNC and bits & _LAYER else None


def _after_id3(content: bytes) -> int:
    """Where the sound begins behind ID3v2 tags."""
    begin = 0
    for _ in range(MAX_ID3_TAGS):
        size = id3_bytes(content[begin : begin + ID3_HEADER_BYTES])
        if not size:
            break
        begin += size
    return begin


def id3_bytes(header: bytes) -> int:
    """How long the ID3v2 tag is that begins with these ten bytes; 0 for no tag. Sizes are four times seven bits."""
    if header[:3] != b"ID3" or len(header) < ID3_HEADER_BYTES:
        return 0
    size = sum((byte & 0x7F) << shift for byte, shift in zip(header[6:], (21, 14, 7, 0), strict=True))
    footer = ID3_HEADER_BYTES if header[5] & _ID3_FOOTER_FLAG else 0
    return ID3_HEADER_BYTES + size + footer


def mp4_samples(content: bytes) -> int:
    """The most that any table of an MP4 declares, wherever in the file's headers a table may lie.

    Looks for the tables' names in everything but the media data, rather than following the boxes as FFmpeg does, since
    it may follow them otherwise.
    """
    declared = 0
    for begin, end in _headers(content):
        data = content[begin:end]
        if b"cmov" in data:
            return MAX_MP4_SAMPLES + 1  # compressed headers cannot be looked into; nothing of this century has them
        for name, count_at, pairs in (
            (b"stsz", 12, False),
            (b"stz2", 12, False),
            (b"trun", 8, False),
            (b"stts", 8, True),
            (b"ctts", 8, True),
        ):
            declared += _declared(data, name, count_at, pairs=pairs)
    return declared


def _declared(data: bytes, name: bytes, count_at: int, *, pairs: bool) -> int:
    """What the tables of one name declare: a count, or with `pairs` the sum over (count, value) pairs."""
    total = 0
    at = data.find(name)
    while at >= 0:
        count = int.from_bytes(data[at + count_at : at + count_at + 4])
        total += count
        if pairs:
            begin = at + count_at + 4
            length = min(count * 8, (len(data) - begin) // 8 * 8)
            if length > 0:
                total += int(np.frombuffer(data, ">u4", length // 4, begin)[::2].sum(dtype=np.int64))
        at = data.find(name, at + 4)
    return total


def _headers(content: bytes) -> list[tuple[int, int]]:
    """The parts of an MP4 outside its media data ("mdat"). From a box without a sound size on, all is header."""
    found = []
    at = 0
    while at + 8 <= len(content):
        size = int.from_bytes(content[at : at + 4])
        header_bytes = 8
        if size == 1:
            size = int.from_bytes(content[at + 8 : at + 16])
            header_bytes = 16
        if size == 0:
            size = len(content) - at
        if size < header_bytes:
            found.append((at, len(content)))
            break
        if content[at + 4 : at + 8] != b"mdat":
            found.append((at, min(at + size, len(content))))
        at += size
    return found
