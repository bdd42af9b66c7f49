"""Batches of texts: each is checked and answered by itself, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from services.mesh import errors
from services.mesh.together import together

T = TypeVar("T")
Item = TypeVar("Item")

MAX_TEXTS = 64
MAX_TEXT_BYTES = 8192


def require_count(field: str, items: Sequence[object], *, low: int = 1, high: int, things: str = "texts") -> None:
    """Raise InvalidArgument unless a repeated field has low..high items."""
    if not low <= len(items) <= high:
        raise errors.InvalidArgument.field(field, f"takes {low} to {high} {things}, got {len(items)}")


def text_fault(field: str, text: str, *, max_bytes: int = MAX_TEXT_BYTES) -> errors.InvalidArgument | None:
    """What is wrong with the size of a text, if anything."""
    size = len(text.encode())
    if 1 <= size <= max_bytes:
        return None
    return errors.InvalidArgument.field(field, f"takes 1 to {max_bytes} UTF-8 bytes, got {size}")


def require_text(field: str, text: str, *, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """The text. Raises InvalidArgument when it is empty or too long."""
    fault = text_fault(field, text, max_bytes=max_bytes)
    if fault is not None:
        raise fault
    return text


async def each(
    items: Sequence[Item], work: Callable[[int, Item], Awaitable[T]], *, at_once: int
) -> list[T | errors.MeshError]:
    """What `work` makes of each item (with its index), in order; an item that fails gets its error.

    at_once: items worked on at the same time. Anything but a MeshError ends the whole, and the rest is cancelled.
    """
    free = asyncio.Semaphore(at_once)

    async def one(index: int, item: Item) -> T | errors.MeshError:
        async with free:
            try:
                return await work(index, item)
            except errors.MeshError as error:
                return error

    return await together(one(index, item) for index, item in enumerate(items))
