"""What the processes of a mesh say of themselves; a real Envoy is asked in tests/unit/deploy/gateway/test_health.py."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from deploy.local.health import Probe
from deploy.local.ports import Ports
from deploy.local.processes import SERVICES

# Where nobody listens.
NOWHERE = Ports.from_base(1)


@pytest.fixture
def pages() -> Iterator[dict[str, Any]]:
    """The pages of a gateway's administration, and under "port" where it is; others are 503."""
    found: dict[str, Any] = {}

    class Administration(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = found.get(self.path.partition("?")[0])
            self.send_response(503 if page is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(page).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Administration) as server:
        found["port"] = server.server_port
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield found
        server.shutdown()


@pytest.fixture
def nlp() -> Iterator[int]:
    """The port of an nlp service that says that it serves."""
    servicer = health.HealthServicer()
    servicer.set(SERVICES["nlp"][0], health_pb2.HealthCheckResponse.SERVING)
    server = grpc.server(ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None)


@pytest.fixture
def probe(pages, nlp) -> Iterator[Probe]:
    """Of a mesh with that gateway and that service."""
    ports = replace(NOWHERE, gateway_admin=pages["port"], nlp=nlp)
    with Probe(SimpleNamespace(ports=ports)) as opened:
        yield opened


def words(probe, *names) -> list[str]:
    found = probe.ask(names)
    assert all(health.ready == (health.words == "serving") for health in found.values())
    return [found[name].words for name in names]


def stats(**healthy: int) -> dict[str, Any]:
    """As Envoy writes them."""
    names = [(f"cluster.{name}.membership_healthy", value) for name, value in healthy.items()]
    return {"stats": [{"name": name, "value": value} for name, value in names]}


def test_a_service_that_the_gateway_reaches(probe, pages):
    """It serves when both say so; what does not run is unreachable."""
    pages |= {"/ready": "LIVE", "/stats": stats(nlp=1, vision=1)}
    assert words(probe, "nlp", "vision", "gateway") == ["serving", "unreachable", "serving"]


@pytest.mark.parametrize("known", [{"nlp": 0}, {}], ids=["found sick", "not looked for yet"])
def test_a_service_that_the_gateway_does_not_reach_yet(probe, pages, known):
    """Its own word is not enough."""
    pages |= {"/ready": "LIVE", "/stats": stats(**known)}
    assert words(probe, "nlp", "gateway") == ["not yet known to the gateway", "serving"]


def test_a_gateway_that_does_not_tell_whom_it_reaches(probe, pages):
    """Then it is the gateway that is not ready, not all that is behind it."""
    pages |= {"/ready": "LIVE"}
    assert words(probe, "nlp", "gateway") == ["serving", "silent"]


def test_a_gateway_that_does_not_run(probe):
    """It is not ready, whatever it does not tell."""
    assert words(probe, "nlp", "gateway") == ["serving", "not serving yet"]
