"""OpenTelemetry's context around a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context


@contextmanager
def inside(found: context.Context) -> Iterator[None]:
    """Make it the current one for as long as the block runs."""
    token = context.attach(found)
    try:
        yield
    finally:
        context.detach(token)
