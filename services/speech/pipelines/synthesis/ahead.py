"""Works ahead of who reads, but not far."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

from services.mesh.background import background

T = TypeVar("T")


async def ahead(source: AsyncGenerator[T, None], lookahead: int) -> AsyncGenerator[T, None]:
    """The same values; up to `lookahead` of them wait, and one more is being made. Closing it ends the work."""
    waiting: asyncio.Queue[T | BaseException | None] = asyncio.Queue(lookahead)

    async def work() -> None:
        end: BaseException | None = None
        try:
            async with aclosing(source):
                async for value in source:
                    await waiting.put(value)
        except Exception as error:  # noqa: BLE001 - it is raised where the values are read
            end = error
        await waiting.put(end)

    async with background(work()):
        while True:
            value = await waiting.get()
            if value is None:
                return
            if isinstance(value, BaseException):
                raise value
            yield value
