"""Rules for lists of texts that several RPCs share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from services.mesh import errors

MAX_TEXTS = 64
MAX_TEXT_BYTES = 8192
# Where a text may be a whole document; all texts of a call together have a bound too.
MAX_DOCUMENT_BYTES = 131_072
MAX_DOCUMENTS_BYTES = 2_097_152
# Texts so short in all are done on the event loop: a thread would cost more (0.1 ms) than it spares.
INLINE_BYTES = 1024

T = TypeVar("T")
Checked = str | errors.InvalidArgument


def check(contents: Sequence[str]) -> int:
    """UTF-8 bytes of all texts. Raises InvalidArgument naming the list, or each text that breaks a rule."""
    checked, size = _check(contents, MAX_TEXT_BYTES)
    faults = [each for each in checked if isinstance(each, errors.InvalidArgument)]
    if faults:
        raise errors.InvalidArgument(
            faults[0].message, violations=[violation for fault in faults for violation in fault.violations]
        )
    return size


def check_documents(contents: Sequence[str]) -> tuple[list[Checked], int]:
    """Each text, or what is wrong with it; and the UTF-8 bytes of all. Raises InvalidArgument naming the list."""
    checked, size = _check(contents, MAX_DOCUMENT_BYTES)
    if size > MAX_DOCUMENTS_BYTES:
        raise errors.InvalidArgument.field("contents", f"takes {MAX_DOCUMENTS_BYTES} UTF-8 bytes in all, got {size}")
    return checked, size


def of_each(work: Callable[[int, str], T], checked: Sequence[Checked]) -> list[T | errors.MeshError]:
    """What `work` makes of each text (with its index), in order, with the errors of the others in their places."""
    return [
        each if isinstance(each, errors.InvalidArgument) else work(index, each) for index, each in enumerate(checked)
    ]


def _check(contents: Sequence[str], most: int) -> tuple[list[Checked], int]:
    if not 1 <= len(contents) <= MAX_TEXTS:
        raise errors.InvalidArgument.field("contents", f"takes 1 to {MAX_TEXTS} texts, got {len(contents)}")
    sizes = [len(text.encode()) for text in contents]
    checked = [
        text
        if 1 <= size <= most
        else errors.InvalidArgument.field(f"contents[{index}]", f"takes 1 to {most} UTF-8 bytes, got {size}")
        for index, (text, size) in enumerate(zip(contents, sizes, strict=True))
    ]
    return checked, sum(sizes)
