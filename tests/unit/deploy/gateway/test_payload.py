"""What callers write in paths, queries and headers is in no span of a real Envoy and in no line of its access log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as collected
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as collector
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from deploy.gateway.render import Address
from services.mesh.call import Context
from tests.unit.deploy.gateway.conftest import free_ports

CANARY = "XYZZY"
SENTIMENT = "maas.nlp.v1.NlpService/AnalyzeSentiment"
# As a caller sends it: method, path, how; and the name that it has here.
REQUESTS = [
    ("POST", "/v1/nlp:analyzeSentiment", "json", SENTIMENT),
    ("POST", f"/{SENTIMENT}?x={CANARY}", "json", "_OTHER"),
    ("GET", f"/v1/vision/faces?personId={CANARY}", "json", "maas.vision.v1.VisionService/ListFaces"),
    ("GET", f"/v1/vision/faces?wrongName={CANARY}", "json", "_OTHER"),
    ("GET", f"/v1/vision/face?personId={CANARY}", "json", "_OTHER"),
    ("GET", f"/v1/graphs/{CANARY}", "json", "maas.router.v1.RouterService/GetGraph"),
    ("GET", f"/{CANARY}/whatever", "json", "_OTHER"),
    ("POST", f"/{CANARY}/whatever", "grpc", "_OTHER"),
    ("POST", f"/maas.nlp.v1.NlpService/{CANARY}", "grpc", "_OTHER"),
    ("POST", f"/maas.nlp.v1.NlpService/AnalyzeSentiment{CANARY}", "grpc", "_OTHER"),
]


@dataclass
class Receiver(collector.TraceServiceServicer):
    """Keeps the spans that it gets."""

    spans: list[Span] = field(default_factory=list)

    async def Export(
        self, request: collected.ExportTraceServiceRequest, context: Context
    ) -> collected.ExportTraceServiceResponse:
        """Take them."""
        self.spans += [span for of in request.resource_spans for scope in of.scope_spans for span in scope.spans]
        return collected.ExportTraceServiceResponse()


@pytest.fixture
async def receiver(configure: dict[str, Any]) -> AsyncIterator[Receiver]:
    """Where the gateway sends its spans."""
    found, (port,) = Receiver(), free_ports(1)
    server = grpc.aio.server()
    collector.add_TraceServiceServicer_to_server(found, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    configure["tracing"] = Address("127.0.0.1", port)
    yield found
    await server.stop(0)


async def test_what_callers_write_in_a_request_line_is_not_recorded(receiver: Receiver, gateway: Any) -> None:
    """Spans and the access log name the RPC, or that it is none; also what is refused is recorded."""
    for number, (method, path, kind, _) in enumerate(REQUESTS):
        headers = {
            "content-type": f"application/{kind}",
            "te": "trailers",
            "user-agent": f"agent {CANARY}",
            "traceparent": f"00-{number + 1:032x}-b7ad6b7169203331-01",
        }
        await gateway.http(method, path, b"{}" if kind == "json" else bytes(5), headers)
    async with asyncio.timeout(20):
        while not {*range(1, len(REQUESTS) + 1)} <= {int.from_bytes(span.trace_id) for span in receiver.spans}:
            await asyncio.sleep(0.05)
    gateway.process.terminate()
    await asyncio.to_thread(gateway.process.wait)
    names = {int.from_bytes(span.trace_id): span.name for span in receiver.spans}
    lines = [json.loads(line) for line in gateway.log.read_text().splitlines() if line.startswith("{")]
    logged = {int(line["trace_id"], 16): line["method"] for line in lines}
    for number, (*_, name) in enumerate(REQUESTS, 1):
        assert (names[number], logged[number]) == (name, name), REQUESTS[number - 1]
    tags = [(tag.key, tag.value.string_value) for span in receiver.spans for tag in span.attributes]
    assert {(key, value) for key, value in tags if CANARY in value and key != "user_agent"} == set()
    assert CANARY not in gateway.log.read_text()
