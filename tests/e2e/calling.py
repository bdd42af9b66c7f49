"""Any call of the contracts, made from plain values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

Chain = list[tuple[str, str]]
Fields = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A call and its edges. method: "package.Service/Method". requests: made anew for each call; one, or a stream.

    fails: with this status, which the local mesh has for it.
    """

    method: str
    requests: Callable[[], Sequence[Fields]]
    edges: list[Chain]
    fails: grpc.StatusCode | None = None

    @property
    def descriptor(self) -> MethodDescriptor:
        """Of the contracts."""
        return descriptor_pool.Default().FindMethodByName(self.method.replace("/", "."))

    def messages(self) -> list[Message]:
        """The requests."""
        kind = GetMessageClass(self.descriptor.input_type)
        return [kind(**{name: _field(kind, name, value) for name, value in one.items()}) for one in self.requests()]

    def call(self, channel: grpc.Channel, metadata: Sequence[tuple[str, str]], timeout: float = 120) -> grpc.Call:
        """Make the call and read all of its answer. Raises grpc.RpcError when it fails otherwise than it should."""
        method = self.descriptor
        sends, gets = method.client_streaming, method.server_streaming
        kinds = {
            (False, False): channel.unary_unary,
            (False, True): channel.unary_stream,
            (True, False): channel.stream_unary,
            (True, True): channel.stream_stream,
        }
        rpc = kinds[sends, gets](
            f"/{self.method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        messages = self.messages()
        argument = iter(messages) if sends else messages[0]
        try:
            if not gets:
                return rpc.with_call(argument, timeout=timeout, metadata=metadata)[1]
            running = rpc(argument, timeout=timeout, metadata=metadata)
            for _ in running:
                pass
        except grpc.RpcError as error:
            if error.code() is not self.fails:
                raise
            return error
        else:
            return running


def _field(kind: type[Message], name: str, value: Any) -> Any:
    """A dictionary as the message that the field takes, with bytes as they are; anything else as it is."""
    field = kind.DESCRIPTOR.fields_by_name[name]
    if isinstance(value, dict) and field.message_type and not field.message_type.GetOptions().map_entry:
        inner = GetMessageClass(field.message_type)
        if field.message_type.full_name.startswith("google."):
            return ParseDict(value, inner())
        return inner(**{key: _field(inner, key, each) for key, each in value.items()})
    if isinstance(value, list) and field.message_type:
        inner = GetMessageClass(field.message_type)
        return [
            inner(**{key: _field(inner, key, each) for key, each in one.items()}) if isinstance(one, dict) else one
            for one in value
        ]
    return value
