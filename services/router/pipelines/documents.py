"""What the router keeps: graphs in versions and traffic policies, shared by all its replicas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

GRAPH = "graph"
TRAFFIC = "traffic"


@dataclass(frozen=True, slots=True)
class Document:
    """Something kept. body: JSON. versions: of a graph, those that are kept, newest first, (version, body) each.

    etag: changes with every change. create_time, update_time: microseconds since 1970.
    """

    kind: str
    name: str
    body: str
    etag: str
    create_time: int
    update_time: int
    versions: tuple[tuple[str, str], ...] = ()


# Told of every change, by whichever replica: the document as it is now, or None when it was deleted.
Listener = Callable[[str, str, Document | None], None]


class Store(Protocol):
    """Keeps documents. Every method raises Unavailable when the database cannot be reached."""

    async def create(self, kind: str, name: str, body: str, version: str = "") -> Document:
        """A new one. Raises AlreadyExists, and Exhausted when 256 of its kind are kept."""
        ...

    async def put(self, kind: str, name: str, body: str, version: str = "", etag: str = "") -> Document:
        """Replace one. Raises NotFound, and Aborted when etag is given and another is kept."""
        ...

    async def delete(self, kind: str, name: str, etag: str = "") -> None:
        """Remove one with its versions. Raises as `put` does."""
        ...

    async def catch_up(self) -> None:
        """Read what others changed, now."""
        ...

    def get(self, kind: str, name: str) -> Document | None:
        """As it was when this replica last looked, at most half a second ago; own changes are there at once."""
        ...

    def list(self, kind: str) -> list[Document]:
        """All of a kind, by name; see `get`."""
        ...

    def listen(self, listener: Listener) -> None:
        """Tell a listener of every change from now on, and at once of what there is."""
        ...
