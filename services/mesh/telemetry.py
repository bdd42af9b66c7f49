"""Traces, metrics and logs, set up once per process. What they carry is never a payload.

OpenTelemetry's own variables decide: without OTEL_EXPORTER_OTLP_ENDPOINT nothing is recorded, but the caller's trace
context still passes through; OTEL_TRACES_SAMPLER and its ARG choose what is sampled (parentbased_always_on by default).
Prometheus can always scrape metrics; they are also sent by OTLP when OTEL_METRICS_EXPORTER names "otlp", or
OTEL_EXPORTER_OTLP_METRICS_ENDPOINT is set.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import REGISTRY, start_http_server

from services.mesh import logs
from services.mesh.exposition import PrometheusReader
from services.mesh.resource import resource

if TYPE_CHECKING:
    from services.mesh.settings import ServiceSettings

_triton_provider: trace.TracerProvider = trace.NoOpTracerProvider()


@dataclass(frozen=True)
class Telemetry:
    """What must be flushed when the process ends."""

    tracers: tuple[TracerProvider, ...]
    meters: MeterProvider

    def shutdown(self) -> None:
        """Send what is left; takes a few seconds at most."""
        for provider in self.tracers:
            provider.shutdown()
        self.meters.shutdown()


def start(service: str, settings: ServiceSettings) -> Telemetry:
    """Set up logs, traces and metrics for this process, and serve the metrics.

    service: one word, the trace's `service.name`. Raises OSError when the metrics address is taken.
    """
    logs.start(service, settings.log_format, settings.log_level)
    readers: list[MetricReader] = [PrometheusReader(REGISTRY)]
    if _pushes_metrics():
        readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
    meters = MeterProvider(resource=resource(service), metric_readers=readers)
    metrics.set_meter_provider(meters)
    host, _, port = settings.metrics_address.rpartition(":")
    start_http_server(int(port), host)
    tracers: tuple[TracerProvider, ...] = ()
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        tracers = start_traces(service, BatchSpanProcessor(OTLPSpanExporter()))
    return Telemetry(tracers, meters)


def _pushes_metrics() -> bool:
    """Whether metrics go out by OTLP as well; an endpoint for traces alone does not mean that."""
    exporters = os.environ.get("OTEL_METRICS_EXPORTER", "").split(",")
    return "otlp" in exporters or bool(os.environ.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"))


def start_traces(service: str, processor: SpanProcessor) -> tuple[TracerProvider, ...]:
    """Record spans of this process, and those it reports on behalf of Triton, through a processor."""
    global _triton_provider  # noqa: PLW0603 - the second provider of the process, beside OpenTelemetry's own global one
    providers = []
    # Of Triton's process nothing more is known here.
    for found in (resource(service), Resource.create({"service.name": "triton"})):
        provider = TracerProvider(resource=found)
        provider.add_span_processor(processor)
        providers.append(provider)
    trace.set_tracer_provider(providers[0])
    _triton_provider = providers[1]
    return tuple(providers)


def triton_tracer() -> trace.Tracer:
    """The tracer for spans that happened inside Triton, which must not trace by itself in version 24.10."""
    return _triton_provider.get_tracer("maas.triton")
