"""What the guard asks of Triton, over gRPC, through tritonclient's generated stub."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, Self, TypeVar

import grpc.aio
import numpy as np
from google.protobuf.json_format import MessageToJson
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from deploy.local.triton.checks import CANARY

_Answer = TypeVar("_Answer")

_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),  # that is, the time an attempt may take
    ("grpc.use_local_subchannel_pool", 1),  # the next Triton on this port must not wait for this one's back-off
    ("grpc.enable_http_proxy", 0),
)


class TritonError(Exception):
    """Triton refused, failed, or did not answer in time; the text says which."""


class Triton:
    """One connection to one Triton; an async context manager."""

    def __init__(self, address: str, *, timeout_seconds: float, load_seconds: float) -> None:
        """address: host:port of its gRPC endpoint. load_seconds bounds loading a model, timeout_seconds the rest."""
        self._address = address
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._stub = GRPCInferenceServiceStub(self._channel)
        self._timeout_seconds = timeout_seconds
        self._load_seconds = load_seconds
        self._calls: set[asyncio.Future[Any]] = set()
        # By model; bounded by those that there are.
        self._held: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        """Connects at the first call."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connection; only after Triton has ended (see `_shielded`)."""
        await self._channel.close()

    async def listens(self) -> bool:
        """Whether it accepts connections."""
        host, _, port = self._address.rpartition(":")
        try:
            async with asyncio.timeout(self._timeout_seconds):
                _, writer = await asyncio.open_connection(host, int(port))
        except OSError:  # TimeoutError is one
            return False
        writer.close()
        return True

    async def canary(self, value: int) -> int:
        """Run the canary model, which answers 2 * value + 1.  value: int32.  Raises TritonError."""
        request = pb.ModelInferRequest(
            model_name=CANARY,
            inputs=[pb.ModelInferRequest.InferInputTensor(name="value", datatype="INT32", shape=[1])],
            outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="value")],
            raw_input_contents=[np.array([value], dtype=np.int32).tobytes()],
        )
        response = await self._shielded(self._stub.ModelInfer(request), self._timeout_seconds)
        answers = np.frombuffer(b"".join(response.raw_output_contents), dtype=np.int32)
        if answers.size != 1:
            raise TritonError(f"it gave {answers.size} values for one")
        return int(answers[0])

    async def states(self) -> dict[str, tuple[str, str]]:
        """Each model's state (READY, LOADING, UNLOADING, UNAVAILABLE) and the reason for it.  Raises TritonError.

        A model with a version that is ready is so, though another one, which it took over from, is not.
        """
        response = await self._shielded(self._stub.RepositoryIndex(pb.RepositoryIndexRequest()), self._timeout_seconds)
        found: dict[str, tuple[str, str]] = {}
        for model in response.models:
            if found.get(model.name, ("", ""))[0] != "READY":
                found[model.name] = (model.state or "UNAVAILABLE", model.reason)
        return found

    async def reload(self, model: str) -> None:
        """Unload a model and load it again: the cure for one whose process has gone.  Raises TritonError.

        One that was held to a version, as after a rollout that went back, is loaded in that version.
        """
        configuration = await self._configuration(model)
        unload = pb.RepositoryModelUnloadRequest(model_name=model)
        await self._shielded(self._stub.RepositoryModelUnload(unload), self._load_seconds)
        load = pb.RepositoryModelLoadRequest(model_name=model)
        if configuration:
            load.parameters["config"].string_param = configuration
        await self._shielded(self._stub.RepositoryModelLoad(load), self._load_seconds)

    async def _configuration(self, model: str) -> str:
        """That holds a model to a version, JSON; "" for one that takes what is newest.

        While it is not loaded, since it was unloaded and did not load, it is that of the time before.
        """
        asked = pb.ModelConfigRequest(name=model)
        with suppress(TritonError):
            config = (await self._shielded(self._stub.ModelConfig(asked), self._timeout_seconds)).config
            held = config.version_policy.HasField("specific")
            self._held[model] = MessageToJson(config, preserving_proto_field_name=True) if held else ""
        return self._held.get(model, "")

    async def _shielded(self, call: Awaitable[_Answer], seconds: float) -> _Answer:
        """Wait so long for a call, but never cancel it or give it a deadline.

        Racing completion, either crashes Triton 24.10 (triton-inference-server/server#7368). A call nobody waits for
        ends with Triton.
        """
        future = asyncio.ensure_future(call)
        self._calls.add(future)
        future.add_done_callback(self._forget)
        done, _ = await asyncio.wait({future}, timeout=seconds)  # cancelled itself, it lets the call run on
        if not done:
            raise TritonError(f"no answer within {seconds:g} s")
        try:
            return future.result()
        except grpc.aio.AioRpcError as error:
            raise TritonError(f"{error.code().name}: {error.details()}") from None

    def _forget(self, future: asyncio.Future[Any]) -> None:
        self._calls.discard(future)
        if not future.cancelled():
            future.exception()  # seen, so that asyncio does not complain about an answer nobody waited for
