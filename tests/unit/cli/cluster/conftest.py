"""A mesh on a cluster, as its API server tells of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.cli.cluster.api_server import ApiServer, Object, serving
from tests.unit.cli.fakes import Maas

NAMESPACE = "/namespaces/maas"
PODS = f"/api/v1{NAMESPACE}/pods"
EVENTS = f"/api/v1{NAMESPACE}/events"
DEPLOYMENTS = f"/apis/apps/v1{NAMESPACE}/deployments"
STATEFUL_SETS = f"/apis/apps/v1{NAMESPACE}/statefulsets"
QUOTAS = f"/api/v1{NAMESPACE}/resourcequotas"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
NODES = "/api/v1/nodes"
SECRET = f"/api/v1{NAMESPACE}/secrets/gateway-tls"


# Runs the check with further arguments; gives state and words by subject.
Check = Callable[..., dict[str, tuple[str, str]]]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """A mesh of nlp with three replicas and two Tritons, all well."""
    server = ApiServer(
        objects={
            DEPLOYMENTS: [deployment("nlp", 3), deployment("triton", 2)],
            STATEFUL_SETS: [],
            PODS: [*(pod("nlp", each) for each in "abc"), *(pod("triton", each) for each in "ab")],
            EVENTS: [],
        },
        pods={f"triton-{each}": Tritons({"canary": "1", "writer": "2"}) for each in "ab"},
    )
    with serving(server, tmp_path) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        yield server


def deployment(name: str, wanted: int, **status: Any) -> Object:
    """One that has rolled out, but for what its status says instead."""
    well = {
        "observedGeneration": 4,
        "replicas": wanted,
        "updatedReplicas": wanted,
        "readyReplicas": wanted,
        "availableReplicas": wanted,
    }
    return {
        "metadata": {"name": name, "generation": 4, "labels": _labels(name)},
        "spec": {
            "replicas": wanted,
            "selector": {"matchLabels": {"app.kubernetes.io/name": name}},
            "template": {"spec": {"containers": [{"name": name, "image": f"maas-mesh/{name}:0.1.0"}]}},
        },
        "status": well | status,
    }


def pod(workload: str, suffix: str, *, ready: bool = True, image: str = "", **status: Any) -> Object:
    """One that runs, but for what its status says instead."""
    well = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        "containerStatuses": [{"name": workload, "restartCount": 0, "state": {"running": {}}}],
    }
    return {
        "metadata": {"name": f"{workload}-{suffix}", "labels": _labels(workload)},
        "spec": {"containers": [{"name": workload, "image": image or f"maas-mesh/{workload}:0.1.0"}]},
        "status": well | status,
    }


def _labels(name: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "maas-mesh"}


def container(name: str, *, restarts: int = 0, last: Object | None = None, **state: Any) -> Object:
    """The status of a container."""
    terminated = {"terminated": last} if last else {}
    return {"name": name, "restartCount": restarts, "state": state, "lastState": terminated}


def warning(name: str, reason: str, message: str, *, minutes_ago: int = 1) -> Object:
    """An event about an object of that name."""
    seen = datetime.now(UTC) - timedelta(minutes=minutes_ago, seconds=5)
    return {
        "metadata": {},
        "involvedObject": {"name": name},
        "reason": reason,
        "message": message,
        "lastTimestamp": seen.isoformat(timespec="seconds").replace("+00:00", "Z"),
    }


class Tritons:
    """The HTTP port of a Triton with models, each with the version that is ready; broken ones have a reason instead."""

    def __init__(self, ready: dict[str, str], broken: dict[str, str] | None = None) -> None:
        self.ready, self.broken = ready, broken or {}
        self.asked: list[tuple[str, str]] = []

    def __call__(self, method: str, path: str, body: Object | None) -> tuple[int, Any]:
        self.asked.append((method, path))
        if (method, path) == ("GET", "/v2/models/stats"):
            return 200, {"model_stats": [{"name": name, "version": each} for name, each in self.ready.items()]}
        if (method, path, body) == ("POST", "/v2/repository/index", {}):
            ready = [{"name": name, "version": each, "state": "READY"} for name, each in self.ready.items()]
            broken = [
                {"name": name, "version": "1", "state": "UNAVAILABLE", "reason": why}
                for name, why in self.broken.items()
            ]
            return 200, [*ready, *broken]
        model = path.split("/")[4]
        if model in self.broken:
            return 400, {"error": f"failed to load '{model}', {self.broken[model]}"}
        return 200, None


def resource(kind: str, name: str) -> Object:
    """As discovery lists it."""
    return {"name": name, "kind": kind, "namespaced": True}


def node(name: str, *, taint: str = "", **allocatable: str) -> Object:
    """One that takes pods."""
    taints = [{"key": taint, "effect": "NoSchedule"}] if taint else []
    room = {
        "cpu": "4",
        "memory": "16Gi",
        **{key.replace("gpu", "nvidia.com/gpu"): value for key, value in allocatable.items()},
    }
    return {
        "metadata": {"name": name, "labels": {"pool": "gpu"} if "gpu" in allocatable else {}},
        "spec": {"taints": taints},
        "status": {"allocatable": room},
    }


@pytest.fixture
def manifests() -> list[Object]:
    """A deployment of two replicas with a Secret, an autoscaler that begins with three, and a claim."""
    container = {
        "name": "nlp",
        "image": "maas-mesh/nlp:0.1.0",
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}},
        "envFrom": [{"secretRef": {"name": "optional", "optional": True}}, {"configMapRef": {"name": "ours"}}],
    }
    volumes = [{"name": "tls", "secret": {"secretName": "gateway-tls"}}]
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ours"}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "nlp"},
            "spec": {"replicas": 2, "template": {"spec": {"containers": [container], "volumes": volumes}}},
        },
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "nlp"},
            "spec": {"scaleTargetRef": {"name": "nlp"}, "minReplicas": 3, "metrics": [{"type": "Resource"}]},
        },
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"}, "spec": {}},
    ]


@pytest.fixture
def server(cluster: ApiServer) -> ApiServer:
    """A cluster that has everything."""
    default = {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}
    cluster.objects |= {
        "/version": {"major": "1", "minor": "36+", "gitVersion": "v1.36.1"},
        "/api/v1": {"resources": [resource("ConfigMap", "configmaps"), resource("PersistentVolumeClaim", "claims")]},
        "/apis/apps/v1": {"resources": [resource("Deployment", "deployments"), resource("Scale", "deployments/scale")]},
        "/apis/autoscaling/v2": {"resources": [resource("HorizontalPodAutoscaler", "horizontalpodautoscalers")]},
        "/apis/metrics.k8s.io": {},
        NODES: [node("a"), node("b")],
        CLASSES: [{"metadata": {"name": "fast", **default}}],
        QUOTAS: [],
        PODS: [],
        SECRET: {},
    }
    return cluster


@pytest.fixture
def check(server: ApiServer, maas: Maas, tmp_path: Path, manifests: list[Object]) -> Check:
    """Runs the check on the manifests; gives state and words by subject, and holds the exit code to them."""

    def run(*arguments: str) -> dict[str, tuple[str, str]]:
        file = tmp_path / "manifests.yaml"
        file.write_text(yaml.safe_dump_all(manifests))
        shown = maas("cluster", "check", str(file), "--json", *arguments)
        found = {each["subject"]: (each["state"], each["words"]) for each in json.loads(shown.stdout)}
        assert shown.exit_code == int(any(state == "missing" for state, _ in found.values()))
        return found

    return run
