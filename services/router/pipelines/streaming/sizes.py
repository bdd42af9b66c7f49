"""How much memory a value takes, about."""

from __future__ import annotations

# Of numbers, truth values and what surrounds every other value.
_SMALL = 16


def size_of(value: object) -> int:
    """Bytes of a value of an expression: a text, data, a message, a number, or a list or mapping of those."""
    match value:
        case str() | bytes():
            return _SMALL + len(value)
        case list() | tuple():
            return _SMALL + sum(map(size_of, value))
        case dict():
            return _SMALL + sum(size_of(key) + size_of(each) for key, each in value.items())
    # A message; what it is is not known here.
    byte_size = getattr(value, "ByteSize", None)
    return _SMALL + (byte_size() if byte_size else 0)
