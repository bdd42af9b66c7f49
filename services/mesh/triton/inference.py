"""Runs models on Triton Inference Server.

It speaks the KServe v2 gRPC protocol through tritonclient's generated stub on our own channel, with raw tensors.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from grpc.aio import AioRpcError
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from services.mesh import errors
from services.mesh.background import background
from services.mesh.client import client_span, trace_metadata
from services.mesh.models import ModelCard
from services.mesh.priority import is_low_priority
from services.mesh.status import from_rpc_error
from services.mesh.timing import Stage, stage
from services.mesh.triton.accounts import Accounts
from services.mesh.triton.execution import EXECUTION_NS, Execution
from services.mesh.triton.failure import to_error
from services.mesh.triton.idle import IdleTime
from services.mesh.triton.messages import arrays_of, to_request
from services.mesh.triton.replicas import Replicas
from services.mesh.triton.responses import responses
from services.mesh.triton.statistics import Statistics
from services.mesh.triton.told import Told
from services.mesh.triton.waits import Waits

if TYPE_CHECKING:
    from services.mesh.deadline import Deadline
    from services.mesh.ports import Array
    from services.mesh.settings import TritonSettings

SERVICE = "inference.GRPCInferenceService"
# Time for questions about models, which Triton answers from memory.
_ADMIN_SECONDS = 5.0
# The parameter with which Triton marks the last response to a request.
_FINAL = "triton_final_response"


class TritonInference:
    """Runs models on Triton (services.mesh.ports.Inference) and lists them (services.mesh.models.ModelSource)."""

    def __init__(self, replicas: Replicas, settings: TritonSettings) -> None:
        """replicas: of Triton, see `open_triton`."""
        self._replicas = replicas
        self._settings = settings
        self._inflight: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[pb.ModelInferResponse]] = set()
        # Models that tell when they ran; asking another for it would fail the call.
        self._timed: set[str] = set()
        # Of the models that answer once; the queues of the others are inside them.
        self._instances: dict[str, int] = {}
        self._idle_time = IdleTime(self._inflight, settings.triton_max_inflight)
        self.waits = Waits(self._inflight)
        self._accounts = Accounts(self._inflight)

    async def infer(
        self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str], *, deadline: Deadline
    ) -> dict[str, Array]:
        """Run a model once; see services.mesh.ports.Inference."""
        with self._accounts.call(model, inputs):
            return await self._infer(model, inputs, outputs, deadline)

    async def _infer(
        self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str], deadline: Deadline
    ) -> dict[str, Array]:
        await self._admit(model, deadline)
        timeout = deadline.require_seconds()
        with client_span(f"{SERVICE}/ModelInfer") as span, stage(Stage.MODEL):
            timed = model in self._timed
            span.set_attribute("maas.model", model)
            request = to_request(model, inputs, [*outputs, EXECUTION_NS] if timed else outputs, timeout)
            sent_ns = time.time_ns()
            response = await self._answer(request, deadline)
            answered_ns = time.time_ns()
            arrays = arrays_of(response)
            if timed:
                execution = Execution.of(sent_ns, answered_ns, arrays.pop(EXECUTION_NS))
                self._accounts.ran(model, execution)
                execution.tell(model, span)
            return arrays

    async def stream(
        self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str], *, deadline: Deadline
    ) -> AsyncGenerator[dict[str, Array], None]:
        """Run a decoupled model; see services.mesh.ports.Inference. The server bears that these calls are cancelled."""
        with self._accounts.call(model, inputs):
            async with aclosing(self._stream(model, inputs, outputs, deadline)) as pieces:
                async for piece in pieces:
                    yield piece

    async def _stream(
        self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str], deadline: Deadline
    ) -> AsyncGenerator[dict[str, Array], None]:
        await self._admit(model, deadline)
        timeout = deadline.require_seconds()
        self._inflight[model] += 1
        try:
            # Not the current span: between two pieces the caller's code runs, whose spans are no part of this call.
            with client_span(f"{SERVICE}/ModelStreamInfer", current=False) as span:
                timed = model in self._timed
                request = to_request(model, inputs, [*outputs, EXECUTION_NS] if timed else outputs, timeout)
                told = Told(model, span, outputs)
                last: dict[str, Array] = {}
                found = responses(self._replicas, request, deadline, trace_metadata(span))
                try:
                    while (response := await _next(found)) is not None:
                        arrays = told.take(arrays_of(response.infer_response))
                        # The last one waits for the end of the call, so that who stops reading then cancels nothing.
                        if response.infer_response.parameters[_FINAL].bool_param:
                            last = arrays
                        else:
                            yield arrays
                finally:
                    await found.aclose()
                    if (execution := told.end()) is not None:
                        self._accounts.ran(model, execution)
            if last:
                yield last
        finally:
            self._end(model)

    async def _answer(self, request: pb.ModelInferRequest, deadline: Deadline) -> pb.ModelInferResponse:
        """The answer of the next replica; if that one takes no calls, of any other. Raises what `to_error` gives.

        Triton cannot say that it will stop, so that it is asked until it is gone.
        """
        stubs = await self._replicas.stubs()
        while True:
            stub = stubs.pop(0)
            try:
                return await self._call(stub, request, deadline.require_seconds())
            except AioRpcError as error:
                failure = to_error(error.code(), error.details() or "", request.model_name)
            if not stubs or not isinstance(failure, errors.Unavailable):
                raise failure

    async def _admit(self, model: str, deadline: Deadline) -> None:
        """Raise Exhausted when as many calls as may be are under way, or when this one would be late.

        One of low priority waits here until it delays nobody.
        """
        if is_low_priority():
            await self._idle_time.turn(model, self._instances.get(model, 1), deadline)
        limit = self._settings.triton_max_inflight
        if self._inflight[model] >= limit:
            raise errors.Exhausted(
                f"{limit} calls wait for model {model!r} already",
                metadata={"model": model, "limit": str(limit)},
                retry_after_seconds=1,
            )
        if self._settings.triton_admission:
            self.waits.require_time(model, deadline)

    def _end(self, model: str) -> None:
        self._inflight[model] -= 1
        self._idle_time.ended(model, self._instances.get(model, 1))

    async def _call(
        self, stub: service_pb2_grpc.GRPCInferenceServiceStub, request: pb.ModelInferRequest, seconds: float
    ) -> pb.ModelInferResponse:
        """Send the request, keeping our deadline and cancellation from a server that cannot bear them.

        Then the call itself goes on in the background, with a bound in time and number, and its late answer is dropped.
        """
        shielded = not self._settings.triton_cancellation
        limit = self._settings.triton_execution_limit_seconds if shielded else seconds
        task = asyncio.ensure_future(stub.ModelInfer(request, timeout=max(limit, seconds), metadata=trace_metadata()))
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
        self._end(model)
        self._tasks.discard(task)
        # Seen, so that asyncio does not complain about an answer nobody waited for.
        if not task.cancelled() and task.exception() is None:
            self.waits.answered(model)

    async def drain(self) -> None:
        """Wait until the calls that were abandoned have ended."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def called(self) -> dict[str, int]:
        """The models whose queues are Triton's and that were called since it was last asked, with their instances."""
        return {
            model: instances
            for model, instances in self._instances.items()
            # Also once after the last call, whose work is then in the statistics.
            if self._inflight[model] or self.waits.has_news(model)
        }

    async def list_models(self, known: Mapping[str, ModelCard]) -> tuple[dict[str, ModelCard], set[str]]:
        """The models that carry a catalog entry; see services.mesh.models.ModelSource.

        One that any replica has ready is so: those that start or stop have none.
        """
        cards: dict[str, ModelCard] = {}
        ready: set[str] = set()
        failure: AioRpcError | None = None
        try:
            indexes = await self._replicas.indexes(_ADMIN_SECONDS)
        except AioRpcError as error:
            raise from_rpc_error(error, "triton") from None
        for stub, index in indexes:
            cards |= {entry.name: known[entry.name] for entry in index.models if entry.name in known}
            for name, version in ((entry.name, entry.version) for entry in index.models if entry.state == "READY"):
                try:
                    if name not in cards or cards[name].version != version:
                        card = await self._card(stub, name, version)
                        if card is not None:
                            cards[name] = card
                    ready.add(name)
                except AioRpcError as error:  # It has been unloaded since; another replica may have it.
                    failure = error
        if failure and not ready:
            raise from_rpc_error(failure, "triton")
        return cards, ready & cards.keys()

    async def _card(self, stub: service_pb2_grpc.GRPCInferenceServiceStub, name: str, version: str) -> ModelCard | None:
        response = await stub.ModelConfig(pb.ModelConfigRequest(name=name, version=version), timeout=_ADMIN_SECONDS)
        entry = response.config.parameters.get("maas")
        if entry is None:
            return None
        if any(output.name == EXECUTION_NS for output in response.config.output):
            self._timed.add(name)
        else:
            self._timed.discard(name)
        self._accounts.know(name, batches=response.config.max_batch_size > 0)
        if response.config.model_transaction_policy.decoupled:
            self._instances.pop(name, None)
        else:
            groups = response.config.instance_group
            self._instances[name] = sum(group.count * max(1, len(group.gpus)) for group in groups) or 1
        known = {"name": name, "version": version, "max_batch_size": response.config.max_batch_size}
        return ModelCard.model_validate({**json.loads(entry.string_value), **known})


@asynccontextmanager
async def open_triton(settings: TritonSettings) -> AsyncIterator[TritonInference]:
    """A connection to Triton for as long as the block runs; at its end abandoned calls are waited for."""
    replicas = Replicas(settings.triton_address)
    inference = TritonInference(replicas, settings)
    try:
        async with background(Statistics(replicas, inference.waits).watch(inference.called)):
            yield inference
            await inference.drain()
    finally:
        await replicas.close()


async def _next(found: AsyncIterator[pb.ModelStreamInferResponse]) -> pb.ModelStreamInferResponse | None:
    with stage(Stage.MODEL):
        return await anext(found, None)
