"""The adapter to two Tritons of which one stops, over real sockets."""

import asyncio
from contextlib import aclosing, asynccontextmanager

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2_grpc

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.settings import TritonSettings
from services.mesh.triton import open_triton, replicas
from tests.integration.test_triton_adapter import Triton, infer, triton


@asynccontextmanager
async def two_tritons(first, second):
    """An adapter to both behind one address."""
    servers, addresses = [grpc.aio.server(), grpc.aio.server()], []
    for server, implementation in zip(servers, (first, second), strict=True):
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(implementation, server)
        addresses.append(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
        await server.start()
    try:
        async with open_triton(TritonSettings(triton_address=f"ipv4:{','.join(addresses)}")) as inference:
            yield inference
    finally:
        for server in servers:
            await server.stop(0)


CARD = {"task": "t", "summary": "S."}
STOPS = (grpc.StatusCode.UNAVAILABLE, "Server not ready")


async def test_a_triton_that_stops_loses_no_call():
    """It refuses calls while gRPC still chooses it; the other one answers them all."""
    stopping, other = Triton(failure=STOPS), Triton()
    async with two_tritons(stopping, other) as inference:
        for _ in range(20):
            assert (await infer(inference, x=np.int32([7])))["x"].tolist() == [7]
    assert stopping.requests
    assert len(other.requests) == 20


async def test_a_triton_that_is_added_gets_its_share(monkeypatch):
    """A replica that the name leads to from now on is called, though no connection to the first one has ended."""
    monkeypatch.setattr(replicas, "_FRESH_SECONDS", 0)
    first, second = Triton(), Triton()
    async with two_tritons(first, second) as inference:
        both = await replicas.replicas(inference._replicas._address)

        async def one(_: str) -> list[str]:
            return both[:1]

        with monkeypatch.context() as before:
            before.setattr(replicas, "replicas", one)
            for _ in range(4):
                await infer(inference, x=np.int32([7]))
            assert 0 in (len(first.requests), len(second.requests))
        for _ in range(8):
            await infer(inference, x=np.int32([7]))
    assert min(len(first.requests), len(second.requests)) >= 2


async def test_a_call_that_a_triton_did_not_refuse_is_not_repeated():
    """What failed for another reason fails, though the other one would have answered."""
    broken = (grpc.StatusCode.INTERNAL, "it broke")
    first, second = Triton(failure=broken), Triton(failure=broken)
    async with two_tritons(first, second) as inference:
        with pytest.raises(errors.Internal):
            await infer(inference)
    assert len(first.requests) + len(second.requests) == 1


async def test_a_stream_that_a_triton_refused_begins_at_another():
    """What was begun is never begun again: then it fails."""
    stopping, other = Triton(failure=STOPS[1]), Triton(pieces=["a", "b"])
    stopping.failure = "Request for unknown model: 'm' has no available versions"
    async with two_tritons(stopping, other) as inference:
        for _ in range(4):
            assert await pieces_of(inference) == ["a", "b"]
        stopping.pieces = ["a"]
        ended = await asyncio.gather(pieces_of(inference), pieces_of(inference), return_exceptions=True)
    assert [type(each) for each in ended].count(errors.Unavailable) == 1
    assert ["a", "b"] in ended


async def test_a_model_is_ready_where_any_triton_has_it():
    """One that stops has unloaded its models already; the service goes on by the other's."""
    stopping, other = Triton(), Triton()
    stopping.models = {"m": ("1", "UNAVAILABLE", CARD)}
    other.models = {"m": ("1", "READY", CARD)}
    async with two_tritons(stopping, other) as inference:
        for _ in range(4):
            cards, ready = await inference.list_models({})
            assert (set(cards), ready) == ({"m"}, {"m"})


async def test_a_model_that_is_unloaded_while_it_is_asked_about():
    """Triton stops between two questions: what the other one has counts all the same."""

    class Stopping(Triton):
        async def ModelConfig(self, request, context):
            await context.abort(grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'm' has no available versions")

    stopping, other = Stopping(), Triton()
    stopping.models = other.models = {"m": ("1", "READY", CARD)}
    async with two_tritons(stopping, other) as inference:
        for _ in range(4):
            cards, ready = await inference.list_models({})
            assert (set(cards), ready) == ({"m"}, {"m"})


async def pieces_of(inference):
    """What a stream writes."""
    async with aclosing(inference.stream("m", {"x": np.int32([1])}, ["text"], deadline=Deadline.after(5))) as pieces:
        return [piece["text"][0].decode() async for piece in pieces]


async def test_a_stream_goes_on_while_its_triton_stops():
    """Its model is not ready then, and still finishes what it has begun."""
    implementation = Triton(pieces=["a"], wait=True)
    implementation.ready = implementation.live = False
    async with triton(implementation) as inference:
        reading = asyncio.create_task(pieces_of(inference))
        await asyncio.wait_for(implementation.asked_live.wait(), 10)
        implementation.leave.set()
        assert await asyncio.wait_for(reading, 10) == ["a"]
