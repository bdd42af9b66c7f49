"""Offsets in the caller's units."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

from maas.nlp.v1 import text_pb2 as pb
from services.mesh.request import one_of


class Offsets:
    """Code-point offsets into one text, as offsets in another encoding."""

    def __init__(self, text: str, encoding_type: pb.EncodingType.ValueType) -> None:
        """encoding_type: checked before, see `require_encoding`."""
        self._text = text
        # The positions of characters that take more than one unit, and how many units more there are up to each.
        wide = [(position, _extra(character, encoding_type)) for position, character in _wide(text, encoding_type)]
        self._positions = [position for position, _ in wide]
        self._extras = [0, *accumulate(extra for _, extra in wide)]

    def span(self, begin: int, end: int) -> pb.TextSpan:
        """The part of the text between two code-point offsets."""
        return pb.TextSpan(content=self._text[begin:end], begin_offset=self.at(begin), end_offset=self.at(end))

    def at(self, offset: int) -> int:
        """A code-point offset in the caller's units."""
        return offset + self._extras[bisect_left(self._positions, offset)]


def require_encoding(
    encoding_type: pb.EncodingType.ValueType, *, field: str = "encoding_type"
) -> pb.EncodingType.ValueType:
    """The encoding. Raises InvalidArgument for a value that the contract does not know."""
    return one_of(field, encoding_type, pb.EncodingType.values())


def _wide(text: str, encoding_type: pb.EncodingType.ValueType) -> list[tuple[int, str]]:
    if text.isascii() or encoding_type in (pb.ENCODING_TYPE_UNSPECIFIED, pb.ENCODING_TYPE_UTF32):
        return []
    first = "\x80" if encoding_type == pb.ENCODING_TYPE_UTF8 else "\U00010000"
    return [(position, character) for position, character in enumerate(text) if character >= first]


def _extra(character: str, encoding_type: pb.EncodingType.ValueType) -> int:
    return len(character.encode()) - 1 if encoding_type == pb.ENCODING_TYPE_UTF8 else 1
