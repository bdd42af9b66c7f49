"""Triton's repository API: which versions each replica holds, loading them, and what they did."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

import grpc
from google.protobuf.json_format import MessageToDict
from grpc.aio import AioRpcError
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from services.mesh import errors
from services.mesh.channel import open_channel
from services.mesh.client import client_span, trace_metadata
from services.mesh.repository import Held, Served, VersionState
from services.mesh.triton.addresses import replicas

if TYPE_CHECKING:
    from grpc.aio import UnaryUnaryMultiCallable

_SERVICE = "inference.GRPCInferenceService"
_ASK_SECONDS = 5.0
_SHOWN_LETTERS = 300
_MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_AWAY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
# A path up to its last part.
_FOLDERS = re.compile(r"(?<![\w:/])/(?:[^\s/'\"():,]+/)+")

Request = TypeVar("Request")
Response = TypeVar("Response")


class TritonReplica:
    """One Triton (services.mesh.repository.Replica)."""

    def __init__(self, name: str, channel: grpc.aio.Channel, load_seconds: float) -> None:
        """name: host:port. load_seconds: the longest that a model may take to load."""
        self.name = name
        self._channel = channel
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        self._load_seconds = load_seconds

    async def held(self) -> list[Held]:
        """Every version of every model that it knows."""
        found = await self._ask(self._stub.RepositoryIndex, pb.RepositoryIndexRequest())
        return [Held(one.name, int(one.version or 0), _state(one.state), words(one.reason)) for one in found.models]

    async def configuration(self, model: str) -> str:
        """Of a model that is loaded, as JSON."""
        found = await self._ask(self._stub.ModelConfig, pb.ModelConfigRequest(name=model), model)
        return json.dumps(MessageToDict(found.config, preserving_proto_field_name=True))

    async def load(self, model: str, configuration: str = "") -> None:
        """Load what the repository has. It goes on when the caller does not wait for it."""
        request = pb.RepositoryModelLoadRequest(model_name=model)
        if configuration:
            request.parameters["config"].string_param = configuration
        await self._change(self._stub.RepositoryModelLoad, request, model, "RepositoryModelLoad")

    async def unload(self, model: str) -> None:
        """Finish the calls that have begun, and take no more."""
        request = pb.RepositoryModelUnloadRequest(model_name=model)
        await self._change(self._stub.RepositoryModelUnload, request, model, "RepositoryModelUnload")

    async def served(self, model: str, version: int) -> Served:
        """What a version did; nothing when it is not loaded."""
        request = pb.ModelStatisticsRequest(name=model, version=str(version))
        try:
            found = await self._ask(self._stub.ModelStatistics, request, model)
        except (errors.NotFound, errors.FailedPrecondition):
            return Served()
        each = [version.inference_stats for version in found.model_stats]
        return Served(
            answered=sum(one.success.count for one in each),
            failed=sum(one.fail.count for one in each),
            seconds=sum(one.success.ns for one in each) / 1e9,
        )

    async def close(self) -> None:
        """End the connection; to be done once."""
        await self._channel.close()

    async def _change(
        self, method: UnaryUnaryMultiCallable[Request, Any], request: Request, model: str, name: str
    ) -> None:
        with client_span(f"{_SERVICE}/{name}") as span:
            span.set_attribute("maas.model", model)
            await self._ask(method, request, model, self._load_seconds, trace_metadata())

    async def _ask(
        self,
        method: UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        model: str = "",
        seconds: float = _ASK_SECONDS,
        metadata: list[tuple[str, str]] | None = None,
    ) -> Response:
        try:
            return await method(request, timeout=seconds, metadata=metadata or ())
        except AioRpcError as error:
            raise self._meant(error, model) from None

    def _meant(self, error: AioRpcError, model: str) -> errors.MeshError:
        code, text = error.code(), words(error.details() or "")
        metadata = {"replica": self.name, "model": model}
        if code in _AWAY:
            return errors.Unavailable(
                f"{self.name} does not answer", reason="TRITON_UNREACHABLE", metadata=metadata, retry_after_seconds=1
            )
        if code is grpc.StatusCode.NOT_FOUND:
            message = f"{self.name} does not serve model {model!r}"
            return errors.NotFound(message, reason="MODEL_NOT_FOUND", metadata=metadata)
        return errors.FailedPrecondition(f"{self.name}: {text}", reason="LOAD_FAILED", metadata=metadata)


class TritonFleet:
    """All replicas behind an address (services.mesh.repository.Fleet), each with a connection of its own."""

    def __init__(self, address: str, load_seconds: float) -> None:
        """address: as of a channel: host:port, dns:///name:port, or ipv4:host:port,host:port."""
        self._address = address
        self._load_seconds = load_seconds
        self._known: dict[str, TritonReplica] = {}

    async def replicas(self) -> list[TritonReplica]:
        """Those that there are now, by name."""
        try:
            names = await replicas(self._address)
        except OSError:
            raise errors.Unavailable(
                "no replica of Triton is known", reason="TRITON_UNREACHABLE", retry_after_seconds=1
            ) from None
        for gone in self._known.keys() - set(names):
            await self._known.pop(gone).close()
        for name in names:
            if name not in self._known:
                channel = open_channel(name, service="", max_message_bytes=_MAX_MESSAGE_BYTES, retries=False)
                self._known[name] = TritonReplica(name, channel, self._load_seconds)
        return [self._known[name] for name in names]

    async def close(self) -> None:
        """End all connections."""
        for replica in self._known.values():
            await replica.close()
        self._known.clear()


@asynccontextmanager
async def open_fleet(address: str, load_seconds: float) -> AsyncIterator[TritonFleet]:
    """The replicas for as long as the block runs."""
    fleet = TritonFleet(address, load_seconds)
    try:
        yield fleet
    finally:
        await fleet.close()


def words(text: str) -> str:
    """What Triton says, without paths and traces, which are not for callers."""
    said = " ".join(text.partition("\n\nAt:")[0].split())
    return _FOLDERS.sub("", said)[:_SHOWN_LETTERS]


def _state(text: str) -> VersionState:
    return cast("VersionState", text) if text in get_args(VersionState) else ""
