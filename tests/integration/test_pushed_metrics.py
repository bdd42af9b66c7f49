"""Metrics that a service sends by OTLP, where its environment asks for that."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as pb
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from maas.router.v1 import graph_pb2
from tests.integration.test_logs import router

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = f"00-{TRACE_ID}-b7ad6b7169203331-01"


@dataclass
class Collector(metrics_service_pb2_grpc.MetricsServiceServicer, trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the metrics that it gets, and says when spans came."""

    address: str = ""
    pushed: list[pb.ExportMetricsServiceRequest] = field(default_factory=list)
    traced: threading.Event = field(default_factory=threading.Event)

    def Export(self, request, context):
        if isinstance(request, pb.ExportMetricsServiceRequest):
            self.pushed.append(request)
            return pb.ExportMetricsServiceResponse()
        self.traced.set()
        return trace_service_pb2.ExportTraceServiceResponse()

    def metrics(self):
        """All metrics that came, with the service that sent them."""
        for request in self.pushed:
            for resource in request.resource_metrics:
                names = {each.key: each.value.string_value for each in resource.resource.attributes}
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        yield names["service.name"], metric


@pytest.fixture
def collector() -> Iterator[Collector]:
    """On a real socket."""
    made = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(made, server)
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(made, server)
    made.address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield made
    server.stop(0)


def test_metrics_are_sent_when_that_is_asked_for(collector, monkeypatch):
    """With their exemplars; Prometheus can still scrape."""
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "200")

    def durations():
        return [
            point
            for service, metric in collector.metrics()
            if (service, metric.name) == ("router", "rpc.server.call.duration")
            for point in metric.histogram.data_points
        ]

    with router() as running:
        running.graphs(graph_pb2.ListGraphsRequest(), traceparent=SAMPLED)
        running.wait_for(lambda: bool(durations()), "the duration of the call")
    exemplars = [exemplar.trace_id.hex() for point in durations() for exemplar in point.exemplars]
    assert TRACE_ID in exemplars


def test_an_endpoint_for_traces_gets_no_metrics(collector, monkeypatch):
    """Who only takes spans is not sent what it would refuse."""
    monkeypatch.delenv("OTEL_METRICS_EXPORTER", raising=False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "200")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
    with router() as running:
        running.graphs(graph_pb2.ListGraphsRequest(), traceparent=SAMPLED)
        running.wait_for(collector.traced.is_set, "the span")
    assert collector.pushed == []
