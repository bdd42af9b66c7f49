"""gRPC server reflection under both of its names: grpc.reflection.v1, which newer clients ask first, and v1alpha.

grpcio-reflection serves v1alpha only. The two differ in their package's name and in nothing on the wire, so one
servicer answers both.
"""

from __future__ import annotations

from collections.abc import Sequence

import grpc.aio
from google.protobuf import descriptor_pool, text_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection, reflection_pb2

V1 = "grpc.reflection.v1.ServerReflection"
V1ALPHA = reflection.SERVICE_NAME


def add_reflection(services: Sequence[str], server: grpc.aio.Server) -> None:
    """Serve reflection. services: full names to list; their contracts must have been imported."""
    pool = descriptor_pool.Default()
    _describe_v1(pool)
    servicer = reflection.aio.ReflectionServicer([*services, V1, V1ALPHA], pool)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler}) for name in (V1, V1ALPHA)]
    )


def _describe_v1(pool: descriptor_pool.DescriptorPool) -> None:
    """Make v1's own contract known, since clients ask for the contract of every service that is listed."""
    try:
        pool.FindServiceByName(V1)
    except KeyError:
        alpha = FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(alpha)
        text = text_format.MessageToString(alpha).replace("v1alpha", "v1")
        pool.AddSerializedFile(text_format.Parse(text, FileDescriptorProto()).SerializeToString())
