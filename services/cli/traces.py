"""Traces of the command's calls, and the local tracing UI that shows them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException

from deploy.local.ports import Ports

_LOCAL = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class Trace:
    """The trace of one call. `traceparent` is its W3C header."""

    trace_id: str
    traceparent: str


def collector() -> str:
    """URL of the OTLP/gRPC collector that OpenTelemetry's own variable names, or ""."""
    return os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")


@contextmanager
def traced(method: str, endpoint: str) -> Iterator[Trace]:
    """A trace for a call of "package.Service/Method".

    With a collector's URL the call is a client span of service "maas" that is sent there; with "", the trace has a
    random id and begins at the gateway.
    """
    if endpoint:
        from services.cli.spans import client_span  # noqa: PLC0415 - the SDK takes longer to import than a call takes

        with client_span(method, endpoint) as (trace_id, span_id):
            yield Trace(trace_id, f"00-{trace_id}-{span_id}-01")
    else:
        trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
        yield Trace(trace_id, f"00-{trace_id}-{span_id}-01")


def ui_of(address: str) -> str:
    """host:port of the tracing UI beside the mesh at an address, or "" when none answers there."""
    host, _, port = address.rpartition(":")
    if host not in _LOCAL or not port.isdigit():
        return ""
    connection = HTTPConnection("127.0.0.1", ui_port(int(port)), timeout=0.2)
    try:
        connection.request("GET", "/healthz")
        healthy = connection.getresponse().status == 200  # noqa: PLR2004 - HTTP's OK
    except (OSError, HTTPException):
        return ""
    finally:
        connection.close()
    return f"127.0.0.1:{connection.port}" if healthy else ""


def ui_port(gateway_port: int) -> int:
    """Where the tracing UI of a local mesh listens."""
    return Ports.from_base(gateway_port).tracing_http


def link(ui: str, trace_id: str) -> str:
    """Where the UI at host:port shows a trace."""
    return f"http://{ui}/#trace={trace_id}"
