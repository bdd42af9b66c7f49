"""Rules for lists of texts that several RPCs share."""

from __future__ import annotations

from collections.abc import Sequence

from services.mesh import errors

MAX_TEXTS = 64
MAX_TEXT_BYTES = 8192
# Texts so short in all are done on the event loop: a thread would cost more (0.1 ms) than it spares.
INLINE_BYTES = 1024


def check(contents: Sequence[str]) -> int:
    """UTF-8 bytes of all texts. Raises InvalidArgument naming the list, or each text that breaks a rule."""
    if not 1 <= len(contents) <= MAX_TEXTS:
        raise errors.InvalidArgument.field("contents", f"takes 1 to {MAX_TEXTS} texts, got {len(contents)}")
    sizes = [len(text.encode()) for text in contents]
    violations = [
        errors.Violation(f"contents[{index}]", f"takes 1 to {MAX_TEXT_BYTES} UTF-8 bytes, got {size}")
        for index, size in enumerate(sizes)
        if not 1 <= size <= MAX_TEXT_BYTES
    ]
    if violations:
        first = violations[0]
        raise errors.InvalidArgument(f"{first.field}: {first.description}", violations=violations)
    return sum(sizes)
