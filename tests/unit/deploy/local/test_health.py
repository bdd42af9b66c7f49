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

from deploy.local.health import Health, Probe
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

        do_POST = do_GET  # noqa: N815 - as http.server looks for it

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


def clusters(**ports: int) -> dict[str, Any]:
    """As Envoy writes them, with one well replica each."""
    well = {"eds_health_status": "HEALTHY"}
    return {
        "cluster_statuses": [
            {
                "name": name,
                "host_statuses": [{"address": {"socket_address": {"port_value": port}}, "health_status": well}],
            }
            for name, port in ports.items()
        ]
    }


def test_a_service_that_the_gateway_reaches(probe, pages, nlp):
    """It serves when both say so; what does not run is unreachable."""
    pages |= {"/ready": "LIVE", "/clusters": clusters(nlp=nlp, vision=1)}
    assert words(probe, "nlp", "vision", "gateway") == ["serving", "unreachable", "serving"]


@pytest.mark.parametrize("known", [{"failed_active_health_check": True}, {"pending_active_hc": True}, None])
def test_a_service_that_the_gateway_does_not_reach_yet(probe, pages, nlp, known):
    """Its own word is not enough, as long as the gateway found it sick, has not asked it or does not know it."""
    found = clusters(nlp=nlp) if known else clusters(vision=1)
    found["cluster_statuses"][0]["host_statuses"][0]["health_status"] |= known or {}
    pages |= {"/ready": "LIVE", "/clusters": found}
    assert words(probe, "nlp", "gateway") == ["not yet known to the gateway", "serving"]


def test_a_gateway_that_does_not_tell_whom_it_reaches(probe, pages):
    """Then it is the gateway that is not ready, not all that is behind it."""
    pages |= {"/ready": "LIVE"}
    assert words(probe, "nlp", "gateway") == ["serving", "silent"]


def test_a_process_whose_twin_serves(pages, nlp):
    """It counts as ready, since callers are answered; the gateway has to know its twin for that."""
    twins = replace(NOWHERE, nlp=nlp)
    ports = replace(NOWHERE, gateway_admin=pages["port"])
    with Probe(SimpleNamespace(ports=SimpleNamespace(**dict(ports.items()), twins=lambda: twins))) as probe:
        pages |= {"/ready": "LIVE", "/clusters": clusters(nlp=1)}
        assert words(probe, "nlp", "nlp-twin") == ["unreachable", "not yet known to the gateway"]
        pages |= {"/clusters": clusters(nlp=nlp)}
        assert [health.words for health in probe.ask(["nlp", "nlp-twin"]).values()] == ["its twin serves", "serving"]


def test_models_count_once_whatever_versions_they_have(pages):
    """After a rollout one version is ready, and the one that it took over from is not."""
    ready, gone = {"name": "a", "version": "2", "state": "READY"}, {"name": "a", "version": "1", "state": "UNAVAILABLE"}
    ports = replace(NOWHERE, triton_http=pages["port"])
    with Probe(SimpleNamespace(ports=ports)) as probe:
        pages["/v2/repository/index"] = [gone, ready]
        assert probe.ask(["triton"])["triton"] == Health(ready=True, words="1 of 1 models loaded")
        pages["/v2/repository/index"] = [gone, ready, {"name": "b"}]
        assert probe.ask(["triton"])["triton"] == Health(ready=False, words="1 of 2 models loaded")


def test_a_gateway_that_does_not_run(probe):
    """It is not ready, whatever it does not tell."""
    assert words(probe, "nlp", "gateway") == ["serving", "not serving yet"]
