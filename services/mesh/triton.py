"""The adapter to Triton Inference Server: the only importer of tritonclient.

It speaks the KServe v2 gRPC protocol through tritonclient's generated stub on our own channel, with raw tensors.
"""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import grpc
import numpy as np
from grpc.aio import AioRpcError
from opentelemetry import trace
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from services.mesh import errors, telemetry
from services.mesh.channel import open_channel
from services.mesh.client import client_span, trace_metadata
from services.mesh.models import ModelCard
from services.mesh.status import from_rpc_error

if TYPE_CHECKING:
    from services.mesh.deadline import Deadline
    from services.mesh.ports import Array
    from services.mesh.settings import TritonSettings

SERVICE = "inference.GRPCInferenceService"
# The output in which our models say when execution began and ended: INT64[..., 2], nanoseconds since 1970.
EXECUTION_NS = "execution_ns"
# Time for questions about models, which Triton answers from memory.
_ADMIN_SECONDS = 5.0
_MAX_MESSAGE_BYTES = 256 * 1024 * 1024

_DATATYPES = {
    np.dtype("bool"): "BOOL",
    np.dtype("uint8"): "UINT8",
    np.dtype("int32"): "INT32",
    np.dtype("int64"): "INT64",
    np.dtype("float32"): "FP32",
    np.dtype("object"): "BYTES",
}
_DTYPES = {name: dtype for dtype, name in _DATATYPES.items()}


class TritonInference:
    """Runs models on Triton (services.mesh.ports.Inference) and lists them (services.mesh.models.ModelSource)."""

    def __init__(self, channel: grpc.aio.Channel, settings: TritonSettings) -> None:
        """channel: to Triton, see `open_triton`."""
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        self._settings = settings
        self._inflight: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[pb.ModelInferResponse]] = set()
        # Models that tell when they ran; asking another for it would fail the call.
        self._timed: set[str] = set()

    async def infer(
        self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str], *, deadline: Deadline
    ) -> dict[str, Array]:
        """Run a model once; see services.mesh.ports.Inference."""
        timeout = deadline.require_seconds()
        limit = self._settings.triton_max_inflight
        if self._inflight[model] >= limit:
            raise errors.Exhausted(
                f"{limit} calls wait for model {model!r} already",
                metadata={"model": model, "limit": str(limit)},
                retry_after_seconds=1,
            )
        with client_span(f"{SERVICE}/ModelInfer") as span:
            timed = span.is_recording() and model in self._timed
            span.set_attribute("maas.model", model)
            request = _request(model, inputs, [*outputs, EXECUTION_NS] if timed else outputs, timeout)
            sent_ns = time.time_ns()
            try:
                response = await self._call(request, timeout)
            except AioRpcError as error:
                raise to_error(error, model) from None
            arrays = _arrays(response)
            if timed:
                _add_execution_spans(model, sent_ns, arrays.pop(EXECUTION_NS))
            return arrays

    async def _call(self, request: pb.ModelInferRequest, seconds: float) -> pb.ModelInferResponse:
        """Send the request, keeping our deadline and cancellation from a server that cannot bear them.

        Then the call itself goes on in the background, with a bound in time and number, and its late answer is dropped.
        """
        shielded = not self._settings.triton_cancellation
        limit = self._settings.triton_execution_limit_seconds if shielded else seconds
        task = asyncio.ensure_future(
            self._stub.ModelInfer(request, timeout=max(limit, seconds), metadata=trace_metadata())
        )
        self._inflight[request.model_name] += 1
        self._tasks.add(task)
        task.add_done_callback(partial(self._forget, request.model_name))
        if not shielded:
            return await task
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(task)
        except TimeoutError:
            raise errors.DeadlineExceeded(
                f"model {request.model_name!r} did not answer in time", metadata={"model": request.model_name}
            ) from None

    def _forget(self, model: str, task: asyncio.Task[pb.ModelInferResponse]) -> None:
        self._inflight[model] -= 1
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # Seen, so that asyncio does not complain about an answer nobody waited for.

    async def drain(self) -> None:
        """Wait until the calls that were abandoned have ended."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def list_models(self, known: Mapping[str, ModelCard]) -> tuple[dict[str, ModelCard], set[str]]:
        """The models that carry a catalog entry; see services.mesh.models.ModelSource."""
        try:
            index = await self._stub.RepositoryIndex(pb.RepositoryIndexRequest(), timeout=_ADMIN_SECONDS)
            ready = {entry.name: entry.version for entry in index.models if entry.state == "READY"}
            cards = {entry.name: known[entry.name] for entry in index.models if entry.name in known}
            for name, version in ready.items():
                if name not in cards or cards[name].version != version:
                    card = await self._card(name, version)
                    if card is not None:
                        cards[name] = card
        except AioRpcError as error:
            raise from_rpc_error(error, "triton") from None
        return cards, ready.keys() & cards.keys()

    async def _card(self, name: str, version: str) -> ModelCard | None:
        response = await self._stub.ModelConfig(
            pb.ModelConfigRequest(name=name, version=version), timeout=_ADMIN_SECONDS
        )
        entry = response.config.parameters.get("maas")
        if entry is None:
            return None
        if any(output.name == EXECUTION_NS for output in response.config.output):
            self._timed.add(name)
        else:
            self._timed.discard(name)
        known = {"name": name, "version": version, "max_batch_size": response.config.max_batch_size}
        return ModelCard.model_validate({**json.loads(entry.string_value), **known})


@asynccontextmanager
async def open_triton(settings: TritonSettings) -> AsyncIterator[TritonInference]:
    """A connection to Triton for as long as the block runs; at its end abandoned calls are waited for."""
    channel = open_channel(
        # No retries: gRPC cannot tell Triton's full queue from a restart, both are UNAVAILABLE.
        # No health checking: Triton has no Watch, and `Models` asks it anyway.
        settings.triton_address,
        service="",
        max_message_bytes=_MAX_MESSAGE_BYTES,
        retries=False,
    )
    async with channel:
        inference = TritonInference(channel, settings)
        yield inference
        await inference.drain()


def to_error(error: AioRpcError, model: str) -> errors.MeshError:
    """What a failed call to a model means to our callers. Triton's own text names paths: it stays inside."""
    code, text = error.code(), error.details() or ""
    metadata = {"model": model}
    if code is grpc.StatusCode.UNAVAILABLE and "maximum queue size" in text.lower():
        return errors.Exhausted(f"the queue of model {model!r} is full", metadata=metadata, retry_after_seconds=1)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED or "timeout expired" in text.lower():
        return errors.DeadlineExceeded(f"model {model!r} did not answer in time", metadata=metadata)
    # A model that is being loaded is NOT_FOUND too, with this text.
    loading = "has no available versions" in text
    if code is grpc.StatusCode.NOT_FOUND and not loading:
        return errors.NotFound(f"Triton has no model {model!r}", reason="MODEL_NOT_FOUND", metadata=metadata)
    if code is grpc.StatusCode.CANCELLED:
        return errors.Cancelled("the call was cancelled", metadata=metadata)
    if loading or code is grpc.StatusCode.UNAVAILABLE or "stub process" in text.lower():
        return errors.Unavailable(
            f"model {model!r} is loading or restarting",
            reason="MODEL_UNAVAILABLE",
            metadata=metadata,
            retry_after_seconds=1,
        )
    return errors.Internal(f"model {model!r} failed", reason="MODEL_FAILED", metadata=metadata)


def _request(model: str, inputs: Mapping[str, Array], outputs: Sequence[str], timeout: float) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(
        model_name=model,
        inputs=[
            pb.ModelInferRequest.InferInputTensor(name=name, datatype=_DATATYPES[array.dtype], shape=array.shape)
            for name, array in inputs.items()
        ],
        outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in outputs],
        raw_input_contents=[_encode(array) for array in inputs.values()],
    )
    # A server whose queues have a policy drops the request when our caller has stopped waiting. The embedded one has
    # none: with any policy 24.10 stalls for half a second at a time, so `triton_max_inflight` bounds its queues.
    request.parameters["timeout"].int64_param = int(timeout * 1e6)
    return request


def _encode(array: Array) -> bytes:
    if array.dtype != np.dtype("object"):
        return array.tobytes()
    return b"".join(struct.pack("<I", len(text)) + text for text in array.flat)


def _arrays(response: pb.ModelInferResponse) -> dict[str, Array]:
    return {
        output.name: _decode(content, output.datatype, tuple(output.shape))
        for output, content in zip(response.outputs, response.raw_output_contents, strict=True)
    }


def _decode(content: bytes, datatype: str, shape: tuple[int, ...]) -> Array:
    if datatype != "BYTES":
        return np.frombuffer(content, dtype=_DTYPES[datatype]).reshape(shape)
    texts, position = [], 0
    while position < len(content):
        (length,) = struct.unpack_from("<I", content, position)
        texts.append(content[position + 4 : position + 4 + length])
        position += 4 + length
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array.reshape(shape)


def _add_execution_spans(model: str, sent_ns: int, execution_ns: Array) -> None:
    """Two children of the current span, as service "triton": waiting, the way there included, and computing.

    execution_ns: int64[..., 2]; the items of a batch ran together, so the first stands for all.
    """
    began_ns, ended_ns = (int(value) for value in execution_ns.reshape(-1, 2)[0])
    tracer = telemetry.triton_tracer()
    for name, start, end in (("queue", min(sent_ns, began_ns), began_ns), ("compute", began_ns, ended_ns)):
        span = tracer.start_span(
            f"triton {name}", start_time=start, kind=trace.SpanKind.INTERNAL, attributes={"maas.model": model}
        )
        span.end(end_time=end)
