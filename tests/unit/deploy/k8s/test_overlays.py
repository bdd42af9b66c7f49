"""The overlays have the times of deploy/drain.py, and are such that `kubectl apply` can send them."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import drain
from deploy.gateway.drain import pre_stop
from deploy.k8s.checks.kustomize import render_combination
from deploy.k8s.gateway import ADMIN_PORT, variants
from deploy.k8s.overlays import build, overlays
from deploy.local.processes import SERVICES

STOPS = drain.stops(drain.KUBERNETES)
VARIANTS = {variant.name: variant for variant in variants()}
OVERLAYS = {folder.name: folder for folder in overlays()}
TRITON = ("Deployment", "triton")
# What an object's annotations may have together; `kubectl apply` keeps what it applied in one.
_ANNOTATION_BYTES = 256 * 1024


@cache
def documents(overlay: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(build(OVERLAYS[overlay])))


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    """Each in turn."""
    return request.param


def pods(overlay: str) -> dict[str, dict[str, Any]]:
    """The pod of each Deployment that stops in the mesh's order."""
    found = {each["metadata"]["name"]: each for each in documents(overlay) if each["kind"] == "Deployment"}
    return {name: each["spec"]["template"]["spec"] for name, each in found.items() if name in STOPS}


def container(pod: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in pod["containers"] if each["name"] == name)


def test_every_service_is_there(overlay: str) -> None:
    """An overlay has the gateway, Triton, and each service that the gateway leads to."""
    assert pods(overlay).keys() >= {"gateway", "triton", *SERVICES}


def test_times_of_stopping_are_derived_in_one_place(overlay: str) -> None:
    """The grace, the pre-stop hook and the settings of each workload are those of deploy/drain.py."""
    for name, pod in pods(overlay).items():
        stop = STOPS[name]
        own = container(pod, name)
        variables = {each["name"]: each.get("value") for each in own.get("env", [])}
        hook = own["lifecycle"]["preStop"]
        assert pod["terminationGracePeriodSeconds"] == stop.grace, name
        if name == "gateway":
            assert hook == {"exec": {"command": pre_stop(ADMIN_PORT, stop.pre_stop, stop.notice + stop.drain)}}
            assert own["args"][-2:] == ["--drain-time-s", str(stop.announce)]
        else:
            assert hook == {"sleep": {"seconds": stop.pre_stop}}, name
        if name == "triton":
            flag = f"--exit-timeout-secs={stop.drain}"
            assert variables.get("TRITON_DRAIN_SECONDS") == str(stop.drain) or flag in own["args"]
        elif name != "gateway":
            assert stop.environment().items() <= variables.items(), name


def test_one_node_is_enough_to_update_dev() -> None:
    """Triton, by far the largest, needs no room for a second one there; in production it does, for no call is lost."""
    strategies = {}
    for name in ("dev", "production"):
        [triton] = [each for each in documents(name) if (each["kind"], each["metadata"]["name"]) == TRITON]
        strategies[name] = triton["spec"]["strategy"]["rollingUpdate"]
    assert strategies == {
        "dev": {"maxSurge": 0, "maxUnavailable": 1},
        "production": {"maxSurge": 1, "maxUnavailable": 0},
    }


def test_services_are_asked_by_their_own_names(overlay: str) -> None:
    """Readiness is that of the service itself, and liveness asks nothing of what it stands on."""
    for name, (service, _) in SERVICES.items():
        own = container(pods(overlay)[name], name)
        assert own["readinessProbe"]["grpc"] == {"port": 8000, "service": service}
        for probe in ("startupProbe", "livenessProbe"):
            assert own[probe]["grpc"] == {"port": 8000, "service": "liveness"}


@pytest.mark.parametrize(
    ("components", "variant"),
    [
        ((), "gateway"),
        (("tls",), "gateway-tls"),
        (("mtls", "tls"), "gateway-tls-mtls"),
        (("identity",), "gateway-identity"),
        (("tls", "identity"), "gateway-identity-tls"),
        (("identity", "tls", "mtls"), "gateway-identity-tls-mtls"),
    ],
    ids=" + ".join,
)
def test_components_choose_the_gateways_configuration(components: tuple[str, ...], variant: str) -> None:
    """In any order the components name a folder that the pod has, with the configuration that is theirs together."""
    pod, config_maps = gateway_with(components)
    own = container(pod, "gateway")
    path = configuration_path(own)
    assert path == Path("/etc/envoy") / variant / "envoy.yaml"
    volume = next(mount["name"] for mount in own["volumeMounts"] if mount["mountPath"] == str(path.parent))
    shown = next(each["configMap"]["name"] for each in pod["volumes"] if each["name"] == volume)
    assert config_maps[shown]["envoy.yaml"] == (VARIANTS[variant].folder / "envoy.yaml").read_text()


def test_client_certificates_without_tls_start_no_gateway() -> None:
    """Who forgets tls beside mtls gets no gateway, instead of one that lets everybody in."""
    own = container(gateway_with(("mtls",))[0], "gateway")
    assert str(configuration_path(own).parent) not in [mount["mountPath"] for mount in own["volumeMounts"]]


def gateway_with(components: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """The gateway's pod, and the contents of every ConfigMap by its name."""
    found = render_combination(components)
    deployment = found.find("Deployment", "gateway")
    assert deployment is not None
    contents = {each["metadata"]["name"]: each.get("data", {}) for each in found.of("ConfigMap")}
    return deployment["spec"]["template"]["spec"], contents


def configuration_path(own: dict[str, Any]) -> Path:
    """Where Envoy looks, with the variables that the kubelet puts in."""
    path = own["args"][own["args"].index("--config-path") + 1]
    for each in own["env"]:
        path = path.replace(f"$({each['name']})", each["value"])
    return Path(path)


def test_triton_on_gpus_is_started_as_its_image_would() -> None:
    """The command line in the manifest has every flag of the image's own entry point."""
    found = render_combination(("gpu",)).find("Deployment", "triton")
    assert found is not None
    own = container(found["spec"]["template"]["spec"], "triton")
    dockerfile = Path("deploy/docker/triton.Dockerfile").read_text()
    entry_point = dockerfile.rpartition("ENTRYPOINT")[2].partition("]")[0]
    assert set(re.findall(r'"([^"]+)"', entry_point)) <= {*own["command"], *own["args"]}


def test_every_object_says_whose_it_is(overlay: str) -> None:
    """By one label all of the mesh can be listed or deleted, also what components add."""
    parts = [each["metadata"].get("labels", {}).get("app.kubernetes.io/part-of") for each in documents(overlay)]
    assert set(parts) == {"maas-mesh"}


def test_kubectl_can_keep_what_it_applied(overlay: str) -> None:
    """Each object fits into an annotation of itself, since otherwise `kubectl apply -k` is refused."""
    for document in documents(overlay):
        size = len(json.dumps(document, separators=(",", ":")).encode())
        assert size < _ANNOTATION_BYTES, document["metadata"]["name"]
