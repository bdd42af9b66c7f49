"""Client spans of the command itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from services.mesh.client import client_span

_EXPORT_TIMEOUT_SECONDS = 2


@cache
def _provider(endpoint: str) -> TracerProvider:
    provider = TracerProvider(resource=Resource.create({"service.name": "maas"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint, timeout=_EXPORT_TIMEOUT_SECONDS)))
    return provider


@contextmanager
def recorded_call(method: str, endpoint: str) -> Iterator[tuple[str, str]]:
    """A span around one call of "package.Service/Method": its trace id and span id in hexadecimal.

    It is sent to the OTLP/gRPC collector at a URL when the block is left, with the status of the grpc.RpcError that
    left it. A collector that does not answer costs two seconds and a line of log, and nothing more.
    """
    with client_span(method, _provider(endpoint).get_tracer("maas.cli")) as span:
        context = span.get_span_context()
        yield format(context.trace_id, "032x"), format(context.span_id, "016x")
