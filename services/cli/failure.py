"""Why a call failed, as a person wants to read it."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import cast

import grpc
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from rich.text import Text

from services.cli.output import errors, seconds

_LOCAL = ("127.0.0.1", "localhost", "[::1]")
# How gRPC's own text begins when it found nobody to talk to.
_NO_CONNECTION = ("failed to connect to all addresses", "DNS resolution failed", "Domain name not found")


def explain(error: grpc.RpcError, address: str, timeout_seconds: float) -> bool:
    """Print to standard error what failed and what to do: code, message, each wrong field, when to try again.

    Returns whether the call reached a gRPC server, so that there may be a trace of it.
    """
    code, message = error.code(), error.details() or ""
    # What a call raises is the call itself, though grpc's types do not say so.
    status = rpc_status.from_call(cast("grpc.Call", error))
    reached = status is not None or not message.startswith(_NO_CONNECTION)
    if not reached and _listens(address):
        message = f"what listens on {address} does not answer gRPC; the mesh prints its address when it starts"
    elif not reached:
        message = f"nothing listens on {address}"
        if address.startswith(_LOCAL):
            message += "; start the mesh with: maas up"
    elif code is grpc.StatusCode.DEADLINE_EXCEEDED:
        message = f"{message if status else 'no answer'} within {timeout_seconds:g} s; --timeout gives it more"
    out = errors()
    out.print(Text.assemble((code.name, "bold red"), ": ", message))
    for name, text in _details(status.details if status else []):
        # Often the sentence is the violation, or the reason no more than the code.
        if text not in (message, code.name):
            out.print(Text.assemble((f"  {name}: ", "bold"), text))
    return reached


def _details(details: Iterable[Any]) -> list[tuple[str, str]]:
    """What google.rpc details say, as (name, text). A violation is told once, with its field."""
    bad = error_details_pb2.BadRequest()
    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    found: list[tuple[str, str]] = []
    for detail in details:
        if detail.Is(bad.DESCRIPTOR):
            detail.Unpack(bad)
            found += [("field", f"{each.field}: {each.description}") for each in bad.field_violations]
        elif detail.Is(retry.DESCRIPTOR):
            detail.Unpack(retry)
            found.append(("retry", f"the same call may succeed in {seconds(retry.retry_delay):g} s"))
        elif detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
            where = [f"{key} {value}" for key, value in sorted(info.metadata.items()) if key in ("graph", "node")]
            found.append(("reason", ", ".join([info.reason, *where])))
    return found


def _listens(address: str) -> bool:
    """Whether something takes connections on host:port."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=1).close()
    except (OSError, ValueError):
        return False
    return True
