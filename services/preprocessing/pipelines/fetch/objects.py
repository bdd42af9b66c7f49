"""Reads objects of s3, gs and az stores, with the credentials and endpoints that the process's environment has.

The stores' own variables count: AWS_*, GOOGLE_* and AZURE_* as their command lines know them.
"""

from __future__ import annotations

from datetime import timedelta

import obstore
from obstore import exceptions, store

from services.mesh import errors
from services.preprocessing.pipelines.fetch.body import Body, absent, refuses, silent
from services.preprocessing.pipelines.fetch.places import Place

_PIECE_BYTES = 1024 * 1024


class ObjectSource:
    """The objects below one prefix: no name, however it is written, leads out of it."""

    def __init__(self, prefix: Place, *, seconds: float) -> None:
        """seconds: the longest that a request may take. Raises ValueError for a prefix that no store takes."""
        self._prefix = prefix
        # obstore would decode the prefix's path and not that of objects, so it gets none.
        try:
            self._store = store.from_url(
                prefix.name,
                client_options={"timeout": timedelta(seconds=seconds), "allow_http": True},
                retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=seconds)},
            )
        except exceptions.BaseError as error:
            raise ValueError(f"{prefix.name} cannot be opened: {error}") from None

    def has(self, place: Place) -> bool:
        """Whether the place is one of its objects."""
        return place.below(self._prefix)

    async def read(self, place: Place, body: Body) -> None:
        """Fill the body with an object. Raises InvalidArgument naming the body's field, NotFound or Unavailable."""
        name = place.path.removeprefix("/")
        if "" in name.split("/"):  # obstore would take the name without them, which may lie outside the prefix
            raise errors.InvalidArgument.field(body.field, "is not the name of an object: a step of it is empty")
        try:
            found = await obstore.get_async(self._store, name)
            body.expect(found.meta["size"])
            async for piece in found.stream(min_chunk_size=_PIECE_BYTES):
                body.add(memoryview(piece))
        except errors.MeshError:
            raise
        except (exceptions.NotFoundError, FileNotFoundError):
            raise absent(place) from None
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
            raise refuses(place, body.field, "no permission") from None
        except Exception:  # noqa: BLE001 - as with `web`; the library puts addresses into what it raises
            raise silent(place) from None
