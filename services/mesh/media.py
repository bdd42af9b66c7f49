"""Pictures and recordings of requests, sent as bytes or named by an address."""

from __future__ import annotations

from typing import Protocol

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.ports import Preprocessor

MAX_URI_BYTES = 2048


class Media(Protocol):
    """maas.type.v1.Image or Audio."""

    content: bytes
    uri: str


async def media_bytes(field: str, source: Media, preprocessor: Preprocessor, deadline: Deadline) -> bytes:
    """The bytes of a picture or recording, fetched when the request names an address.

    field: of the request, "image". Raises InvalidArgument when there are none, and what fetching raises.
    """
    content = source.content  # Each reading of the field copies it.
    if content:
        return content
    uri = source.uri
    if not uri:
        raise errors.InvalidArgument.field(f"{field}.content", "is required, or a uri instead")
    if len(uri.encode()) > MAX_URI_BYTES:
        raise errors.InvalidArgument.field(f"{field}.uri", f"takes at most {MAX_URI_BYTES} bytes")
    return await preprocessor.fetch_media(uri, field=f"{field}.uri", deadline=deadline)
