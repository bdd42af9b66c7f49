"""What holds in a block and in all that it calls: OpenTelemetry's context, and variables of our own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TypeVar

from opentelemetry import context

T = TypeVar("T")


@contextmanager
def inside(found: context.Context) -> Iterator[None]:
    """Make it the current one for as long as the block runs."""
    token = context.attach(found)
    try:
        yield
    finally:
        context.detach(token)


@contextmanager
def holding(variable: ContextVar[T], value: T) -> Iterator[T]:
    """The variable has the value for as long as the block runs."""
    token = variable.set(value)
    try:
        yield value
    finally:
        # A generator that was left is ended by the event loop, in a context that never had the value.
        with suppress(ValueError):
            variable.reset(token)
