"""Asks all replicas at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from services.mesh import errors

Answer = TypeVar("Answer")


async def ask_all(questions: Mapping[str, Callable[[], Awaitable[Answer]]]) -> dict[str, Answer | None]:
    """The answers by name, None of who does not answer."""
    answers = await asyncio.gather(*(_asked(question) for question in questions.values()))
    return dict(zip(questions, answers, strict=True))


async def _asked(question: Callable[[], Awaitable[Answer]]) -> Answer | None:
    try:
        return await question()
    except errors.Unavailable:
        return None
