"""The command's own client spans, as a collector gets them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
import pytest
from google.rpc.status_pb2 import Status as RpcStatus
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from maas.nlp.v1 import conversation_pb2
from maas.router.v1 import router_pb2
from tests.unit.cli.fakes import FakeMesh, Maas


@dataclass
class Collector(TraceServiceServicer):
    """An OTLP collector that keeps what it gets, each span with its service's name."""

    spans: list[tuple[str, Span]] = field(default_factory=list)

    def Export(self, request: ExportTraceServiceRequest, context: grpc.ServicerContext) -> ExportTraceServiceResponse:
        """Keep the spans."""
        for found in request.resource_spans:
            names = [each.value.string_value for each in found.resource.attributes if each.key == "service.name"]
            self.spans += [(names[0], span) for scope in found.scope_spans for span in scope.spans]
        return ExportTraceServiceResponse()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch, mesh: FakeMesh) -> Iterator[Collector]:
    """A collector on a free port, which the command finds by OpenTelemetry's own variable."""
    kept = Collector()
    server = grpc.server(ThreadPoolExecutor(1))
    add_TraceServiceServicer_to_server(kept, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    yield kept
    server.stop(grace=None).wait()


def test_a_call_is_a_client_span(mesh: FakeMesh, maas: Maas, collector: Collector):
    """The span that the mesh is told of as the call's parent is the one that reaches the collector."""
    mesh.replies["ListCapabilities"] = router_pb2.ListCapabilitiesResponse()
    assert maas("models").exit_code == 0
    [(service, span)] = collector.spans
    assert (service, span.name) == ("maas", "maas.router.v1.RouterService/ListCapabilities")
    assert span.kind == Span.SPAN_KIND_CLIENT
    assert mesh.metadata[0]["traceparent"] == f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01"
    attributes = {each.key: each.value.string_value for each in span.attributes}
    assert (attributes["rpc.system.name"], attributes["rpc.response.status_code"]) == ("grpc", "OK")


def test_a_failed_call_is_a_failed_span(mesh: FakeMesh, maas: Maas, collector: Collector):
    """A call that fails marks its span as failed, with the status code."""
    mesh.replies["ListCapabilities"] = RpcStatus(code=5, message="gone")
    assert maas("models").exit_code == 1
    [(_, span)] = collector.spans
    assert span.status.code == Status.STATUS_CODE_ERROR
    attributes = {each.key: each.value.string_value for each in span.attributes}
    assert attributes["rpc.response.status_code"] == "NOT_FOUND"


def test_a_stream_is_one_client_span(mesh: FakeMesh, maas: Maas, collector: Collector):
    """However many answers a stream has, it is one span; one that breaks off is a failed one."""
    piece = conversation_pb2.StreamGenerateReplyResponse(delta="Hel")
    mesh.replies["StreamGenerateReply"] = [piece, piece]
    assert maas("nlp", "reply", "hello", "--stream").exit_code == 0
    mesh.replies["StreamGenerateReply"] = [piece, RpcStatus(code=14, message="gone")]
    assert maas("nlp", "reply", "hello", "--stream").exit_code == 1
    assert [span.name for _, span in collector.spans] == ["maas.nlp.v1.NlpService/StreamGenerateReply"] * 2
    assert [span.status.code for _, span in collector.spans] == [Status.STATUS_CODE_UNSET, Status.STATUS_CODE_ERROR]
    assert mesh.metadata[1]["traceparent"].split("-")[2] == collector.spans[1][1].span_id.hex()
