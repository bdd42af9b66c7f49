"""The bytes of the pictures and recordings of requests."""

from __future__ import annotations

from maas.type.v1 import media_pb2
from services.mesh import errors
from services.mesh.deadline import Deadline
from services.preprocessing.pipelines.inputs import InputPipelines


async def content_of(
    field: str, message: media_pb2.Image | media_pb2.Audio, pipelines: InputPipelines, deadline: Deadline
) -> bytes:
    """The bytes of a picture or recording, fetched when the request names an address.

    field: its name in the request. Raises InvalidArgument when it has no source, and what `fetch_media` raises.
    """
    source = message.WhichOneof("source")
    if source is None:
        raise errors.InvalidArgument.field(field, "is required")
    if source == "content":
        return message.content
    return await pipelines.fetch_media(message.uri, field=f"{field}.uri", deadline=deadline)
