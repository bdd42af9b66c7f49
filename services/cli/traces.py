"""Traces of the command's calls, and the local tracing UI that shows them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException

import grpc

from deploy.local.ports import Ports

_LOCAL = ("127.0.0.1", "localhost", "[::1]")


# In which the gateway answers with the call's trace id, when it records traces.
_TRACE_HEADER = "x-trace-id"


def collector() -> str:
    """URL of the OTLP/gRPC collector that OpenTelemetry's own variable names, or ""."""
    return os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")


@contextmanager
def traced(method: str, endpoint: str) -> Iterator[tuple[tuple[str, str], ...]]:
    """The metadata with which a call of "package.Service/Method" becomes part of a trace.

    With a collector's URL the call is a client span of service "maas" that is sent there; with "", there is none, and
    the trace begins at the gateway.
    """
    if not endpoint:
        yield ()
        return
    from services.cli.spans import recorded_call  # noqa: PLC0415 - the SDK takes longer to import than a call takes

    with recorded_call(method, endpoint) as (trace_id, span_id):
        yield (("traceparent", f"00-{trace_id}-{span_id}-01"),)


def trace_id(call: grpc.Call) -> str:
    """The trace of a call that has ended, as the gateway told it, or "" when it records none."""
    told = [*(call.initial_metadata() or ()), *(call.trailing_metadata() or ())]
    return next((str(value) for key, value in told if key == _TRACE_HEADER), "")


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
