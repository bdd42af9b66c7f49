"""The limits on phrases that a caller says may occur."""

from __future__ import annotations

from collections.abc import Sequence

from services.mesh import errors

_MAX_PHRASES = 100
_MAX_PHRASE_BYTES = 100
# The model reads them before each piece of sound, and has room for some 200 tokens.
_MAX_BYTES = 1000


def checked_hints(hints: Sequence[str], *, field: str = "phrase_hints") -> tuple[str, ...]:
    """The phrases without white space around them. Raises InvalidArgument naming the phrase and the limit."""
    if len(hints) > _MAX_PHRASES:
        raise errors.InvalidArgument.field(field, f"takes at most {_MAX_PHRASES} phrases, got {len(hints)}")
    total = 0
    for index, hint in enumerate(hints):
        place, size = f"{field}[{index}]", len(hint.encode())
        if not hint.strip() or size > _MAX_PHRASE_BYTES:
            raise errors.InvalidArgument.field(place, f"takes 1 to {_MAX_PHRASE_BYTES} UTF-8 bytes, got {size}")
        if len(hint.strip().splitlines()) > 1 or not hint.strip().isprintable():
            raise errors.InvalidArgument.field(place, "takes no line breaks and no control characters")
        total += size
    if total > _MAX_BYTES:
        raise errors.InvalidArgument.field(field, f"takes at most {_MAX_BYTES} UTF-8 bytes in all, got {total}")
    return tuple(hint.strip() for hint in hints)
