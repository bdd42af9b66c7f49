"""A service's server: health, reflection, readiness and its orderly end."""

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from maas.nlp.v1 import nlp_pb2 as pb
from maas.nlp.v1 import nlp_pb2_grpc
from services.mesh.server import LIVENESS, AddressTaken, Servicer, serving
from services.mesh.settings import ServiceSettings
from services.mesh.testing import serve
from tests.failure import failure

NLP = "maas.nlp.v1.NlpService"


class Nlp(nlp_pb2_grpc.NlpServiceServicer):
    """Answers when it is let."""

    def __init__(self):
        self.entered = asyncio.Event()
        self.leave = asyncio.Event()

    async def GetNlpConfig(self, request, context):
        self.entered.set()
        await self.leave.wait()
        return pb.GetNlpConfigResponse()


def servicer(implementation, ready=lambda: True):
    return Servicer(NLP, nlp_pb2_grpc.add_NlpServiceServicer_to_server, implementation, ready)


async def test_health_follows_readiness():
    """A watcher of the service's health sees it become ready and unready again."""
    ready = False
    async with serve(servicer(Nlp(), lambda: ready)) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=NLP), timeout=10)
        wanted = [health_pb2.HealthCheckResponse.NOT_SERVING, health_pb2.HealthCheckResponse.SERVING]
        seen = []
        async for response in watch:
            if response.status in wanted:
                seen.append(response.status)
                ready = not ready
            if len(seen) == 3:
                break
        watch.cancel()
    assert seen == [wanted[0], wanted[1], wanted[0]]


async def test_who_waits_for_a_backend_is_alive():
    """A service whose Triton is away serves neither itself nor "", and is alive: a restart would not help it."""
    async with serve(servicer(Nlp(), lambda: False)) as channel:
        health = health_pb2_grpc.HealthStub(channel)

        async def status(name):
            return (await health.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)).status

        async with asyncio.timeout(5):
            async for _ in health.Watch(health_pb2.HealthCheckRequest(service=NLP)):
                break
        assert await status("") == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await status(LIVENESS) == health_pb2.HealthCheckResponse.SERVING


async def test_a_stopping_server_finishes_what_it_began():
    """At its end the server refuses new calls and lets the running one finish."""
    implementation = Nlp()
    settings = ServiceSettings(listen_address="127.0.0.1:0", metrics_address="127.0.0.1:0", drain_seconds=10)
    server = serving([servicer(implementation)], settings)
    port = await server.__aenter__()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = nlp_pb2_grpc.NlpServiceStub(channel)
        running = stub.GetNlpConfig(pb.GetNlpConfigRequest())
        await asyncio.wait_for(implementation.entered.wait(), 5)
        stopping = asyncio.create_task(server.__aexit__(None, None, None))
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            while True:
                async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as late:
                    try:
                        await nlp_pb2_grpc.NlpServiceStub(late).GetNlpConfig(pb.GetNlpConfigRequest(), timeout=0.2)
                    except grpc.aio.AioRpcError as error:
                        if error.code() is grpc.StatusCode.UNAVAILABLE:
                            break
        assert not running.done()
        implementation.leave.set()
        assert await running == pb.GetNlpConfigResponse()
        await stopping


async def test_a_stopping_server_still_answers_who_has_not_heard_of_it():
    """From SIGTERM on it says NOT_SERVING, and new calls are answered for the notice's time."""
    implementation = Nlp()
    implementation.leave.set()
    settings = ServiceSettings(
        listen_address="127.0.0.1:0", metrics_address="127.0.0.1:0", drain_seconds=10, notice_seconds=3
    )
    server = serving([servicer(implementation)], settings)
    port = await server.__aenter__()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub, question = health_pb2_grpc.HealthStub(channel), health_pb2.HealthCheckRequest(service=NLP)
        while (await stub.Check(question)).status != health_pb2.HealthCheckResponse.SERVING:
            await asyncio.sleep(0.01)
        watch = stub.Watch(question, timeout=10)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        stopping = asyncio.create_task(server.__aexit__(None, None, None))
        while (await stub.Check(question)).status != health_pb2.HealthCheckResponse.NOT_SERVING:
            await asyncio.sleep(0.01)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as late:
            answer = await nlp_pb2_grpc.NlpServiceStub(late).GetNlpConfig(pb.GetNlpConfigRequest())
        assert answer == pb.GetNlpConfigResponse()
        assert not stopping.done()
        # Those who watch are told at its end: they call no server that serves no more, even if they know no other.
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        await stopping


async def test_a_call_that_outlasts_the_drain_is_told_why_it_ends():
    """It fails with UNAVAILABLE and DRAINING before the server cuts it off, so that its caller asks another one."""
    implementation = Nlp()
    settings = ServiceSettings(listen_address="127.0.0.1:0", metrics_address="127.0.0.1:0", drain_seconds=1)
    server = serving([servicer(implementation)], settings)
    port = await server.__aenter__()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = nlp_pb2_grpc.NlpServiceStub(channel).GetNlpConfig(pb.GetNlpConfigRequest(), timeout=60)
        await asyncio.wait_for(implementation.entered.wait(), 5)
        await server.__aexit__(None, None, None)
        code, info, _, retry = await failure(call)
    assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert retry.HasField("retry_delay")


async def test_two_servers_cannot_share_an_address():
    """A taken address is an error at start, not a silent sharing of calls."""
    settings = ServiceSettings(listen_address="127.0.0.1:0", metrics_address="127.0.0.1:0", drain_seconds=1)
    async with serving([servicer(Nlp())], settings) as port:
        taken = settings.model_copy(update={"listen_address": f"127.0.0.1:{port}"})
        with pytest.raises(AddressTaken):
            async with serving([servicer(Nlp())], taken):
                pass
