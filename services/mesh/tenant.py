"""In whose name a call is made: the metadata key `maas-tenant`, which the gateway sets and graphs pass on.

It names a customer, never a person, and stands in no span, metric or log line of the services.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from services.mesh.context import holding

KEY = "maas-tenant"
NAME = re.compile(r"[a-z0-9_-]{1,64}")
# Of what can be no name so much is passed on that the service sees it, and refuses it.
_MAX_NAMES, _MAX_LETTERS = 2, 65

_named: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("tenant", default=())


@contextmanager
def acting_for(received: Iterable[tuple[str, str | bytes]] | None) -> Iterator[None]:
    """Calls made in the block are in the name that the received metadata tell, right or wrong; without one in none."""
    names = [value[:_MAX_LETTERS] for key, value in received or () if key == KEY and isinstance(value, str)]
    with holding(_named, tuple((KEY, name) for name in names[:_MAX_NAMES])):
        yield


def metadata() -> tuple[tuple[str, str], ...]:
    """What goes with a call to another service."""
    return _named.get()
