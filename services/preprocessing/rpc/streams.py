"""Requests that bring a file or a sound in chunks: the configuration first, then the bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol, TypeVar

from services.mesh import errors
from services.mesh.sound import MAX_CHUNK_BYTES

# Of a call whose client set no deadline.
LONGEST_SECONDS = 3600.0

Config_co = TypeVar("Config_co", covariant=True)


class StreamingRequest(Protocol[Config_co]):
    """A message with the oneof `streaming_request` of `config` and `content`."""

    @property
    def config(self) -> Config_co:
        """What is wanted."""
        ...

    @property
    def content(self) -> bytes:
        """The next bytes."""
        ...

    def WhichOneof(self, oneof_group: Any, /) -> Any:
        """Which of them is set."""
        ...


async def config_of(requests: AsyncIterator[StreamingRequest[Config_co]]) -> Config_co:
    """What is wanted. Raises InvalidArgument when the stream begins with anything else."""
    async for request in requests:
        if request.WhichOneof("streaming_request") == "config":
            return request.config
        break
    raise errors.InvalidArgument.field("config", "is required as the first message")


async def chunks_of(requests: AsyncIterator[StreamingRequest[Any]]) -> AsyncIterator[bytes]:
    """The bytes. Raises InvalidArgument for any other message."""
    async for request in requests:
        if request.WhichOneof("streaming_request") == "config":
            raise errors.InvalidArgument.field("config", "is taken as the first message only")
        chunk = request.content
        if not 1 <= len(chunk) <= MAX_CHUNK_BYTES:
            raise errors.InvalidArgument.field("content", f"takes 1 to {MAX_CHUNK_BYTES} bytes, got {len(chunk)}")
        yield chunk
