"""The guard's client, against a server of ours over loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import grpc.aio
import numpy as np
import pytest
from tritonclient.grpc import model_config_pb2
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)

from deploy.local.triton.client import Triton, TritonError


class Servicer(GRPCInferenceServiceServicer):
    """Doubles and adds one, when it is let."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.calls: list[str] = []
        self.configurations: list[dict] = []
        self.ended: list[str] = []
        self.seconds_given: list[float | None] = []
        self.contents: list[bytes] | None = None

    async def ModelInfer(self, request, context):
        """Answer when let, and note what the call was like."""
        self.calls.append(request.model_name)
        self.seconds_given.append(context.time_remaining())
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        self.ended.append("answered")
        assert [output.name for output in request.outputs] == ["value"]  # it may have others
        answer = 2 * np.frombuffer(request.raw_input_contents[0], np.int32) + 1
        contents = [answer.astype(np.int32).tobytes()] if self.contents is None else self.contents
        return pb.ModelInferResponse(raw_output_contents=contents)

    async def RepositoryIndex(self, request, context):
        """Four models in three states; of one there is a version that went back."""
        index = pb.RepositoryIndexResponse()
        index.models.add(name="pinned", version="1", state="READY")
        index.models.add(name="pinned", version="2", state="UNAVAILABLE", reason="unloaded")
        index.models.add(name="good", state="READY")
        index.models.add(name="never-loaded", reason="")
        index.models.add(name="broken", state="UNAVAILABLE", reason="no such file")
        return index

    async def ModelConfig(self, request, context):
        """One model is held to a version; who is unloaded has no configuration."""
        if f"unload {request.name}" in self.calls:
            await context.abort(grpc.StatusCode.NOT_FOUND, "not loaded")
        config = model_config_pb2.ModelConfig(name=request.name)
        if request.name == "pinned":
            config.version_policy.specific.versions.append(1)
        return pb.ModelConfigResponse(config=config)

    async def RepositoryModelUnload(self, request, context):
        """Note the call."""
        self.calls.append(f"unload {request.model_name}")
        return pb.RepositoryModelUnloadResponse()

    async def RepositoryModelLoad(self, request, context):
        """Note the call; one model does not load."""
        self.calls.append(f"load {request.model_name}")
        self.configurations = [json.loads(each.string_param) for each in request.parameters.values()]
        if request.model_name == "broken":
            await context.abort(grpc.StatusCode.INTERNAL, "no such file")
        return pb.RepositoryModelLoadResponse()


@pytest.fixture
async def served() -> AsyncIterator[tuple[Servicer, Triton]]:
    """A server and the client connected to it."""
    servicer, server = Servicer(), grpc.aio.server()
    add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with Triton(f"127.0.0.1:{port}", timeout_seconds=0.2, load_seconds=10) as triton:
        yield servicer, triton
    await server.stop(0)


async def test_canary(served):
    """The canary's value goes there and back as an int32."""
    servicer, triton = served
    assert await triton.listens()
    assert await triton.canary(20) == 41
    assert servicer.calls == ["canary"]


async def test_empty_answer(served):
    """An answer without a value is an error: model processes with numpy 2 gave such."""
    servicer, triton = served
    servicer.contents = [b""]
    with pytest.raises(TritonError, match="0 values"):
        await triton.canary(20)


async def test_no_answer(served):
    """The wait is bounded, but neither a deadline nor a cancellation reaches the server, which would crash on it."""
    servicer, triton = served
    servicer.go_on.clear()
    with pytest.raises(TritonError, match=r"no answer within 0.2 s"):
        await triton.canary(20)
    waiting = asyncio.create_task(triton.canary(21))
    while len(servicer.calls) < 2:
        await asyncio.sleep(0.001)
    waiting.cancel()
    servicer.go_on.set()
    async with asyncio.timeout(10):
        while len(servicer.ended) < 2:
            await asyncio.sleep(0.001)
    assert servicer.ended == ["answered", "answered"]
    assert servicer.seconds_given == [None, None]


async def test_states(served):
    """A model without a state was never loaded: it is unavailable; one with a version that is ready is ready."""
    _, triton = served
    assert await triton.states() == {
        "pinned": ("READY", ""),
        "good": ("READY", ""),
        "never-loaded": ("UNAVAILABLE", ""),
        "broken": ("UNAVAILABLE", "no such file"),
    }


async def test_reload(served):
    """Reloading is unloading, then loading; what Triton says about a failure is in the error."""
    servicer, triton = served
    await triton.reload("good")
    assert servicer.calls == ["unload good", "load good"]
    with pytest.raises(TritonError, match="INTERNAL: no such file"):
        await triton.reload("broken")


async def test_a_model_that_is_held_to_a_version_is_reloaded_in_it(served):
    """Not in the newest, which a rollout took back; any other is loaded as its files say."""
    servicer, triton = served
    await triton.reload("pinned")
    await triton.reload("pinned")  # as when the first load had failed
    (configuration,) = servicer.configurations
    assert [int(version) for version in configuration["version_policy"]["specific"]["versions"]] == [1]
    await triton.reload("good")
    assert servicer.configurations == []


async def test_nobody_listens():
    """Where nobody listens, that is known and the error says so, both at once."""
    async with Triton("127.0.0.1:1", timeout_seconds=10, load_seconds=10) as triton:
        assert not await triton.listens()
        with pytest.raises(TritonError, match="UNAVAILABLE"):
            await triton.canary(1)
