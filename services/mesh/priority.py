"""Calls that may wait for all others: mirrored ones, and whatever a caller marks as such.

The mark travels as W3C baggage beside the trace context, so that every service of the way knows it:
`baggage: maas.priority=low`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from opentelemetry import baggage

from services.mesh.context import inside

_KEY = "maas.priority"
_LOW = "low"


def low_priority() -> AbstractContextManager[None]:
    """The calls made inside the block are of low priority, here and in the services that they reach."""
    return inside(baggage.set_baggage(_KEY, _LOW))


def is_low_priority() -> bool:
    """Whether what is being done now may wait for all others."""
    return baggage.get_baggage(_KEY) == _LOW
