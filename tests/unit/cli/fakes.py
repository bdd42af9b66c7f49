"""A mesh of fakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from typer.testing import Result

from maas.models.v1 import models_pb2
from maas.nlp.v1 import nlp_pb2
from maas.preprocessing.v1 import preprocessing_pb2
from maas.router.v1 import router_pb2
from maas.speech.v1 import speech_pb2
from maas.vision.v1 import vision_pb2

# What a method answers, or of a method that streams: what follows each other, the last perhaps a Status.
Reply = Message | Status | Callable[[Message, grpc.ServicerContext], Message]
Stream = list[Message | Status] | Callable[[Message, grpc.ServicerContext], Iterator[Message]]


@dataclass
class FakeMesh(grpc.GenericRpcHandler):
    """Answers every method of the contracts with what a test put into `replies` under the method's last name.

    A Status fails the call, a function is called; what arrived is kept in `requests` and `metadata`. `trace_id` is what
    a gateway that records traces would tell, `times` where the time went for who asks.
    """

    address: str = ""
    trace_id: str = ""
    times: str = ""
    replies: dict[str, Reply | Stream] = field(default_factory=dict)
    requests: list[Message] = field(default_factory=list)
    metadata: list[dict[str, str | bytes]] = field(default_factory=list)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The handler of a method that the contracts know, and of no other."""
        service, _, name = details.method.strip("/").partition("/")
        for module in (models_pb2, nlp_pb2, preprocessing_pb2, router_pb2, speech_pb2, vision_pb2):
            for known in module.DESCRIPTOR.services_by_name.values():
                if known.full_name == service:
                    return self._handler(known.methods_by_name[name])
        return None

    def _handler(self, method: MethodDescriptor) -> grpc.RpcMethodHandler:
        if method.client_streaming:
            return grpc.stream_stream_rpc_method_handler(
                lambda requests, context: self._converse(method.name, requests, context),
                request_deserializer=GetMessageClass(method.input_type).FromString,
                response_serializer=GetMessageClass(method.output_type).SerializeToString,
            )
        handler, answer = (
            (grpc.unary_stream_rpc_method_handler, self._stream)
            if method.server_streaming
            else (grpc.unary_unary_rpc_method_handler, self._answer)
        )
        return handler(
            lambda request, context: answer(method.name, request, context),
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )

    def _answer(self, name: str, request: Message, context: grpc.ServicerContext) -> Message:
        self._arrived(request, context)
        reply = self.replies[name]
        if isinstance(reply, Status):
            context.abort_with_status(rpc_status.to_status(reply))
        return reply(request, context) if callable(reply) else reply

    def _stream(self, name: str, request: Message, context: grpc.ServicerContext) -> Iterator[Message]:
        self._arrived(request, context)
        reply = self.replies[name]
        for each in reply(request, context) if callable(reply) else reply:
            if isinstance(each, Status):
                context.abort_with_status(rpc_status.to_status(each))
            yield each

    def _converse(self, name: str, requests: Iterator[Message], context: grpc.ServicerContext) -> Iterator[Message]:
        """Take all that is sent, then answer."""
        last = None
        for last in requests:
            self.requests.append(last)
        self.requests.pop()
        yield from self._stream(name, last, context)

    def _arrived(self, request: Message, context: grpc.ServicerContext) -> None:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        if self.trace_id:
            context.send_initial_metadata([("x-trace-id", self.trace_id)])
        if self.times and "maas-timing" in self.metadata[-1]:
            context.set_trailing_metadata([("server-timing", self.times)])


class Maas(Protocol):
    """The command `maas`, run in this process."""

    def __call__(self, *arguments: str, stdin: str | bytes | None = None) -> Result:
        """Run it with arguments and standard input."""
