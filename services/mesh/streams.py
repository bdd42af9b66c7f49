"""Streams of requests that begin with a configuration: messages with a oneof `streaming_request`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from services.mesh import errors

ONEOF = "streaming_request"

Config_co = TypeVar("Config_co", covariant=True)


class Configured(Protocol[Config_co]):
    """A message with a configuration among what it may bring."""

    @property
    def config(self) -> Config_co:
        """What is wanted."""
        ...


async def first_config(requests: AsyncIterator[Configured[Config_co]]) -> Config_co:
    """The configuration in the first message. Raises InvalidArgument when that brings something else, or nothing."""
    request = await anext(aiter(requests), None)
    came = "nothing" if request is None else kind_of(request)
    if request is None or came != "config":
        raise errors.InvalidArgument.field("config", f"is required in the first message, which brought {came}")
    return request.config


def kind_of(request: object) -> str:
    """What a message brings. Raises InvalidArgument, naming what there is, when it brings nothing."""
    assert isinstance(request, Message)  # noqa: S101 - the protocols that describe requests do not say so
    kind: str | None = request.WhichOneof(ONEOF)
    if kind is None:
        *others, last = (field.name for field in request.DESCRIPTOR.oneofs_by_name[ONEOF].fields)
        raise errors.InvalidArgument.field(ONEOF, f"takes one of {', '.join(others)} and {last} in each message")
    return kind
