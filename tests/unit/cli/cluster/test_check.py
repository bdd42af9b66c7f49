"""`maas cluster check`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.cli.cluster.api_server import ApiServer, Object
from tests.unit.cli.cluster.conftest import CLASSES, NODES, PODS, QUOTAS, SECRET, Check, node, pod, resource
from tests.unit.cli.fakes import Maas


def test_a_cluster_that_has_everything(check: Check):
    """Each thing that was looked at is told, also when it is there."""
    found = check()
    assert {state for state, _ in found.values()} == {"ok"}
    assert [subject for subject in found if "API server" not in subject] == [
        "kinds", "permissions", "resource metrics", "nodes", "storage for models", "quota", "Secret gateway-tls",
    ]  # fmt: skip


def test_a_server_that_is_too_old(check: Check, server: ApiServer):
    """An API server older than the manifests need is missing something."""
    server.objects["/version"] = {"major": "1", "minor": "25", "gitVersion": "v1.25.0"}
    assert ("missing", "is v1.25.0; the manifests need 1.30 or newer") in check().values()


@pytest.mark.parametrize(
    ("api_version", "kind", "brings"),
    [
        ("monitoring.coreos.com/v1", "ServiceMonitor", "the Prometheus Operator (component monitoring-operator)"),
        ("keda.sh/v1alpha1", "ScaledObject", "KEDA (component autoscaling-keda)"),
        ("cert-manager.io/v1", "Certificate", "cert-manager (component tls-cert-manager)"),
        ("gateway.networking.k8s.io/v1", "GRPCRoute", "the Gateway API (component gateway-api)"),
    ],
)
def test_kinds_that_components_need(check: Check, manifests: list[Object], api_version: str, kind: str, brings: str):
    """A kind that the cluster lacks is told with what brings it and which component asked for it."""
    spec = {"scaleTargetRef": {"name": "nlp"}}
    manifests.append({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, "spec": spec})
    state, words = check()[f"kind {kind} ({api_version})"]
    assert (state, words) == ("missing", f"install {brings}, or leave that component out")


def test_permissions(check: Check, server: ApiServer):
    """Kinds that the caller may not apply are told with the verbs that he lacks."""
    server.denied = {("create", "deployments"), ("patch", "deployments")}
    assert check()["permission for deployments"] == ("missing", "you may not create, patch them")


def test_metrics_that_autoscalers_go_by(check: Check, server: ApiServer):
    """Without metrics the mesh runs, but its autoscalers stand still: a warning."""
    del server.objects["/apis/metrics.k8s.io"]
    state, words = check()["resource metrics"]
    assert state == "warning"
    assert "metrics-server" in words


def change(manifests: list[Object], **pod: Any) -> Object:
    """Set fields of the deployment's pods."""
    found: Object = manifests[1]["spec"]["template"]["spec"]
    found.update(pod)
    return found


def test_a_pod_that_fits_nowhere(check: Check, manifests: list[Object]):
    """A pod larger than the largest node is told with both sizes."""
    change(manifests)["containers"][0]["resources"]["requests"]["memory"] = "64Gi"
    state, words = check()["a node for nlp"]
    assert state == "missing"
    assert words == "no node has memory 64.0Gi (the largest node has 16.0Gi)"


def test_gpu_nodes(check: Check, server: ApiServer, manifests: list[Object]):
    """A GPU needs a node that has one, with the labels that are selected and no taint that is not tolerated."""
    change(manifests, nodeSelector={"pool": "gpu"})["containers"][0]["resources"]["limits"] = {"nvidia.com/gpu": "1"}
    assert check()["a node for nlp"] == ("missing", "no node has the labels pool=gpu")
    server.objects[NODES].append(node("c", gpu="2", taint="nvidia.com/gpu"))
    assert check()["a node for nlp"] == (
        "missing",
        "every node that it may be on has a taint that it does not tolerate",
    )
    change(manifests, tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}])
    assert check()["nodes"] == ("ok", "3 that take pods, 2 GPUs; each workload fits on one")
    assert check()["GPUs"] == ("missing", "all replicas ask for 3, the nodes have 2")
    server.objects[NODES][-1]["status"]["allocatable"]["nvidia.com/gpu"] = "3"
    assert check()["GPUs"][0] == "warning"
    server.objects[NODES][-1]["status"]["allocatable"]["nvidia.com/gpu"] = "4"
    assert "GPUs" not in check()


def test_nodes_that_take_nothing(check: Check, server: ApiServer):
    """Nodes that are cordoned do not count."""
    for each in server.objects[NODES]:
        each["spec"]["unschedulable"] = True
    assert check()["a node for nlp"] == ("missing", "no node takes pods")


def test_init_containers_count_by_the_largest(check: Check, manifests: list[Object]):
    """An initial container that asks for more than the others decides where a pod fits."""
    change(manifests, initContainers=[{"name": "fetch", "resources": {"requests": {"cpu": "6"}}}])
    assert check()["a node for nlp"][1] == "no node has cpu 6 (the largest node has 4)"


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (None, ("missing", "no class is the default; there are: slow")),
        ("fast", ("missing", "no class 'fast'; there are: slow")),
        ("slow", ("ok", "slow")),
    ],
)
def test_storage_classes(
    check: Check, server: ApiServer, wanted: str | None, told: tuple[str, str], manifests: list[Object]
):
    """A claim needs the class that it names, or one that is the cluster's default."""
    server.objects[CLASSES] = [{"metadata": {"name": "slow"}}]
    manifests[3]["spec"] = {"storageClassName": wanted} if wanted else {}
    assert check()["storage for models"] == told


@pytest.mark.parametrize(
    ("resource", "amounts", "words"),
    [
        ("requests.cpu", ("2", "1"), "1.5 of requests.cpu are asked for, 1 are free"),
        ("cpu", ("1", "0"), "1.5 of cpu are asked for, 1 are free"),
        ("pods", ("2", "0"), "3 of pods are asked for, 2 are free"),
    ],
)
def test_quota(check: Check, server: ApiServer, resource: str, amounts: tuple[str, str], words: str):
    """A quota is compared with what all replicas ask for together, the autoscaler's least number of them."""
    hard, used = ({resource: each} for each in amounts)
    server.objects[QUOTAS] = [{"metadata": {"name": "team"}, "status": {"hard": hard, "used": used}}]
    assert check()["quota team"] == ("missing", words)


def test_keda_begins_with_so_many(check: Check, server: ApiServer, manifests: list[Object]):
    """The least number of replicas that a ScaledObject says counts, and quotas of limits are compared as well."""
    manifests[2] |= {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "spec": {"scaleTargetRef": {"name": "nlp"}, "minReplicaCount": 4},
    }
    server.objects["/apis/keda.sh/v1alpha1"] = {"resources": [resource("ScaledObject", "scaledobjects")]}
    change(manifests)["containers"][0]["resources"]["limits"] = {"memory": "2Gi"}
    quota = {"hard": {"limits.memory": "7Gi"}, "used": {}}
    server.objects[QUOTAS] = [{"metadata": {"name": "team"}, "status": quota}]
    assert check()["quota team"] == ("missing", "8.0Gi of limits.memory are asked for, 7.0Gi are free")


def test_quota_that_the_mesh_uses_already(check: Check, server: ApiServer):
    """What pods of the mesh use of a quota is theirs, so that a second apply is not refused here."""
    running = pod("nlp", "a")
    running["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1500m"}}
    server.objects[PODS] = [running]
    quota = {"hard": {"requests.cpu": "2", "pods": "4"}, "used": {"requests.cpu": "1500m", "pods": "2"}}
    server.objects[QUOTAS] = [{"metadata": {"name": "team"}, "status": quota}]
    assert check()["quota"] == ("ok", "1 in the namespace")


def test_what_the_operator_must_have_made(check: Check, server: ApiServer):
    """A Secret that pods cannot start without is missing until it is there; an optional one is not asked for."""
    del server.objects[SECRET]
    found = check()
    assert found["Secret gateway-tls"][0] == "missing"
    assert "Secret optional" not in found
    assert "ConfigMap ours" not in found


def test_what_the_caller_may_not_see(check: Check, server: ApiServer):
    """Where the caller may not look the state is unknown, which is no failure."""
    server.roles = []
    found = check()
    for subject in ("nodes", "storage classes", "quota", "Secret gateway-tls"):
        assert found[subject][0] == "unknown"
        assert "is forbidden" in found[subject][1]


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "there is no "), ("a: [", "is no YAML"), ("- 1\n", "has no Kubernetes objects"), ("", "has no Kubernetes")],
)
def test_manifests_that_are_none(server: ApiServer, maas: Maas, tmp_path: Path, content: str | None, words: str):
    """A file that is not there, or has no manifests in it, is told in a sentence."""
    file = tmp_path / "some.yaml"
    if content is not None:
        file.write_text(content)
    shown = maas("cluster", "check", str(file))
    assert shown.exit_code == 1
    assert words in shown.stderr


def test_a_kustomization(server: ApiServer, maas: Maas, tmp_path: Path, manifests: list[Object]):
    """A folder is rendered by kubectl, whose complaint is shown when it cannot be."""
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(manifests))
    (tmp_path / "kustomization.yaml").write_text("resources: [all.yaml]\n")
    shown = maas("cluster", "check", str(tmp_path))
    assert shown.exit_code == 0, shown.stderr
    (tmp_path / "kustomization.yaml").write_text("resources: [none.yaml]\n")
    assert "none.yaml" in maas("cluster", "check", str(tmp_path)).stderr
