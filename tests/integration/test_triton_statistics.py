"""Admission by Triton's statistics, from servers that speak its protocol, over real sockets."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import grpc
import numpy as np
import pytest
from tritonclient.grpc import model_config_pb2, service_pb2_grpc
from tritonclient.grpc import service_pb2 as pb

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.settings import TritonSettings
from services.mesh.triton import open_triton
from services.mesh.triton.addresses import replicas

CARD = '{"task": "t", "summary": "s", "licence": "l", "source": "s"}'


class Triton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """One model that says to have needed a tenth of a second for each of its calls, and can be made to wait."""

    def __init__(self):
        self.calls = 0
        self.asked = asyncio.Event()
        self.leave = asyncio.Event()
        self.leave.set()

    async def RepositoryIndex(self, request, context):
        return pb.RepositoryIndexResponse(
            models=[pb.RepositoryIndexResponse.ModelIndex(name="m", version="1", state="READY")]
        )

    async def ModelConfig(self, request, context):
        config = model_config_pb2.ModelConfig(name="m", instance_group=[model_config_pb2.ModelInstanceGroup(count=1)])
        config.parameters["maas"].string_value = CARD
        return pb.ModelConfigResponse(config=config)

    async def ModelInfer(self, request, context):
        await self.leave.wait()
        self.calls += 1
        return pb.ModelInferResponse(model_name="m")

    async def ModelStatistics(self, request, context):
        self.asked.set()
        statistics = pb.ModelStatistics(name=request.name, version="1", execution_count=self.calls)
        statistics.inference_stats.success.count = self.calls
        statistics.batch_stats.add(batch_size=1).compute_infer.ns = self.calls * 100_000_000
        return pb.ModelStatisticsResponse(model_stats=[statistics])


@asynccontextmanager
async def serving(implementation):
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(implementation, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        implementation.leave.set()
        await server.stop(0)


def infer(inference, seconds=30.0):
    return inference.infer("m", {"x": np.int32([1])}, [], deadline=Deadline.after(seconds))


async def asked_again(implementation):
    """Until Triton has been asked and the answer was taken in: the next question comes after it."""
    for _ in range(2):
        implementation.asked.clear()
        await asyncio.wait_for(implementation.asked.wait(), 10)


@asynccontextmanager
async def busy(tritons, **settings):
    """Our side of Tritons that have answered 20 calls and now keep ten waiting."""
    async with AsyncExitStack() as stack:
        addresses = [await stack.enter_async_context(serving(each)) for each in tritons]
        address = addresses[0] if len(addresses) == 1 else f"ipv4:{','.join(addresses)}"
        inference = await stack.enter_async_context(open_triton(TritonSettings(triton_address=address, **settings)))
        await inference.list_models({})
        for triton in tritons:
            triton.leave.clear()
        # Under way while Triton is asked for the first time, before it has answered any.
        first = [asyncio.create_task(infer(inference)) for _ in range(20)]
        await asked_again(tritons[0])
        for triton in tritons:
            triton.leave.set()
        await asyncio.gather(*first)
        for triton in tritons:
            triton.leave.clear()
        waiting = [asyncio.create_task(infer(inference)) for _ in range(10)]
        await asked_again(tritons[0])
        yield inference
        for triton in tritons:
            triton.leave.set()
        await asyncio.gather(*waiting)


async def test_a_call_that_would_be_late_is_refused_at_once():
    """Behind ten calls of a tenth of a second each, half a second is too little and two are enough."""
    triton = Triton()
    async with busy([triton]) as inference:
        assert inference.waits.seconds("m") == pytest.approx(1.0)
        with pytest.raises(errors.Exhausted) as caught:
            await infer(inference, seconds=0.5)
        assert caught.value.reason == "WAIT_TOO_LONG"
        patient = asyncio.create_task(infer(inference, seconds=20))
        triton.leave.set()
        await patient
    assert triton.calls == 31


async def test_admission_can_be_switched_off():
    """Without it the same call waits in Triton until its deadline."""
    async with busy([Triton()], triton_admission=False) as inference:
        with pytest.raises(errors.DeadlineExceeded):
            await infer(inference, seconds=0.5)


async def test_all_replicas_are_asked():
    """Two Tritons behind one address answer twice as many as one, and both say so."""
    tritons = [Triton(), Triton()]
    async with busy(tritons) as inference:
        await asyncio.wait_for(tritons[1].asked.wait(), 10)
        assert inference.waits.seconds("m") == pytest.approx(9 / 20)


async def test_an_idle_triton_is_not_asked():
    """Who calls nothing asks nothing."""
    triton = Triton()
    async with serving(triton) as address, open_triton(TritonSettings(triton_address=address)) as inference:
        await inference.list_models({})
        with suppress(TimeoutError):
            await asyncio.wait_for(triton.asked.wait(), 1.5)
        assert not triton.asked.is_set()
        await infer(inference)
        await asyncio.wait_for(triton.asked.wait(), 10)


async def test_addresses_of_replicas():
    """A list is itself, a name is what it resolves to, anything else is one replica."""
    assert await replicas("triton.example:8001") == ["triton.example:8001"]
    assert await replicas("ipv4:10.0.0.1:8001,10.0.0.2:8001") == ["10.0.0.1:8001", "10.0.0.2:8001"]
    assert "127.0.0.1:8001" in await replicas("dns:///localhost:8001")
    with pytest.raises(OSError, match=r"(?i)name|address"):
        await replicas("dns:///no-such-name.invalid:8001")
