"""`maas cluster status`."""

from __future__ import annotations

import json
import re

import pytest

from tests.unit.cli.cluster.api_server import ApiServer
from tests.unit.cli.cluster.conftest import DEPLOYMENTS, EVENTS, PODS, Tritons, container, deployment, pod, warning
from tests.unit.cli.fakes import Maas

LONG_AGO = "2026-01-01T00:00:00Z"


def lines(shown: str) -> dict[str, str]:
    """Each line of the table, white space folded, by its first word."""
    folded = [re.sub(r"\s+", " ", line).strip() for line in shown.splitlines()]
    return {line.split(" ")[0]: line for line in folded}


def test_a_mesh_that_is_well(cluster: ApiServer, maas: Maas):
    """A line a workload with replicas, rollout and version, a line a Triton with its models, and no other pods."""
    shown = maas("cluster", "status")
    assert shown.exit_code == 0
    found = lines(shown.stdout)
    assert found["nlp"] == "nlp 3/3 done 0.1.0 0"
    assert found["triton"] == "triton 2/2 done 0.1.0 0"
    assert found["triton-a"] == "triton-a yes running 0.1.0 0 2"
    assert "nlp-a" not in found


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"observedGeneration": 3}, "not begun"),
        ({"updatedReplicas": 1}, "1 of 3 updated"),
        ({"replicas": 4}, "1 old to end"),
        ({"availableReplicas": 2}, "2 of 3 available"),
        ({"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}, "stuck"),
    ],
)
def test_rollouts(cluster: ApiServer, maas: Maas, status: dict[str, object], words: str):
    """How far a rollout is stands in words, and one that is not done ends the command with 1."""
    cluster.objects[DEPLOYMENTS] = [deployment("nlp", 3, **status)]
    shown = maas("cluster", "status")
    assert f"3/3 {words} 0.1.0" in lines(shown.stdout)["nlp"]
    assert shown.exit_code == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            container(
                "nlp", restarts=7, waiting={"reason": "CrashLoopBackOff", "message": "back-off 5m0s"},
                last={"reason": "Error", "exitCode": 1, "finishedAt": LONG_AGO, "message": "nlp: NLP_X is missing\n"},
            ),
            "7 nlp: CrashLoopBackOff; Error, exit code 1, ",
        ),
        (
            container("nlp", restarts=1, last={"reason": "OOMKilled", "exitCode": 137}, running={}),
            "1 nlp: OOMKilled, exit code 137",
        ),
        (
            container("nlp", waiting={"reason": "ImagePullBackOff", "message": "no such image"}),
            "0 nlp: ImagePullBackOff: no such image",
        ),
    ],
)  # fmt: skip
def test_containers_that_fail(cluster: ApiServer, maas: Maas, status: dict[str, object], words: str):
    """A pod whose container failed is shown with its restarts, what it waits for, and how it ended last."""
    cluster.objects[DEPLOYMENTS] = [deployment("nlp", 1, readyReplicas=0)]
    cluster.objects[PODS] = [pod("nlp", "a", ready=False, containerStatuses=[status])]
    shown = maas("cluster", "status")
    assert words in lines(shown.stdout)["nlp-a"]
    assert shown.exit_code == 1


def test_what_a_container_said_last(cluster: ApiServer, maas: Maas):
    """The last words of a container that ended are shown on one line."""
    last = {"reason": "Error", "exitCode": 1, "finishedAt": LONG_AGO, "message": "nlp: the settings\n  are wrong"}
    status = container("nlp", waiting={"reason": "CrashLoopBackOff"}, last=last)
    cluster.objects[PODS] = [pod("nlp", "a", ready=False, containerStatuses=[status])]
    assert "d ago: nlp: the settings are wrong" in maas("cluster", "status").stdout


def test_pods_that_no_node_takes(cluster: ApiServer, maas: Maas):
    """A pod that cannot be placed says why, in the scheduler's words."""
    unplaced = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: no GPU"}
    cluster.objects[PODS] = [pod("triton", "a", ready=False, phase="Pending", conditions=[unplaced])]
    assert (
        "triton-a no pending 0.1.0 0 Unschedulable: 0/3 nodes: no GPU"
        in lines(maas("cluster", "status").stdout)["triton-a"]
    )


def test_the_latest_warning(cluster: ApiServer, maas: Maas):
    """Of the warnings about a sick pod the latest is shown; what was said of a pod that is well again is not."""
    cluster.objects[PODS] = [pod("nlp", "a", ready=False), pod("nlp", "b")]
    cluster.objects[EVENTS] = [
        warning("nlp-a", "Unhealthy", "Readiness probe failed", minutes_ago=2),
        warning("nlp-a", "Failed", "older", minutes_ago=90),
        warning("nlp-b", "Unhealthy", "was"),
        warning("nlp", "FailedCreate", "forbidden: violates PodSecurity"),
    ]
    found = lines(maas("cluster", "status").stdout)
    assert found["nlp-a"].endswith("Unhealthy: Readiness probe failed (2 min ago)")
    assert "nlp-b" not in found
    assert "FailedCreate: forbidden: violates PodSecurity (1 min ago)" in found["nlp"]


def test_pods_of_another_version(cluster: ApiServer, maas: Maas):
    """A pod that still has the old image is shown, as is the digest of an image that has no tag."""
    cluster.objects[PODS] = [
        pod("nlp", "a"),
        pod("nlp", "b", image="registry:5000/maas-mesh/nlp:0.0.9"),
        pod("nlp", "c", image="maas-mesh/nlp@sha256:0123456789abcdef0123"),
    ]
    found = lines(maas("cluster", "status").stdout)
    assert "nlp-a" not in found
    assert "0.0.9" in found["nlp-b"]
    assert "0123456789ab " in found["nlp-c"]


def test_a_triton_that_lacks_a_model(cluster: ApiServer, maas: Maas):
    """A Triton that does not serve what another one serves says which models those are."""
    cluster.pods["triton-b"] = Tritons({"canary": "1"})
    found = lines(maas("cluster", "status").stdout)
    assert found["triton-a"].endswith(" 2")
    assert found["triton-b"].endswith("1 of 2, without writer")


def test_a_triton_that_cannot_be_reached(cluster: ApiServer, maas: Maas):
    """What keeps the API server from reaching a Triton stands in its line, and the rest is shown."""
    del cluster.pods["triton-b"]
    found = lines(maas("cluster", "status").stdout)
    assert "the API server does not reach port 8000 of triton-b: no endpoints" in found["triton-b"]
    assert found["triton-a"].endswith(" 2")


def test_json(cluster: ApiServer, maas: Maas):
    """--json has every pod, and nothing else is printed."""
    found = json.loads(maas("cluster", "status", "--json").stdout)
    assert [(each["name"], len(each["pods"])) for each in found["workloads"]] == [("nlp", 3), ("triton", 2)]
    assert found["models"] == {"triton-a": "2", "triton-b": "2"}


def test_nothing_is_there(cluster: ApiServer, maas: Maas):
    """An empty namespace ends with 1 and the command that fills it."""
    cluster.objects[DEPLOYMENTS] = []
    shown = maas("cluster", "status", "--namespace", "maas")
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "kubectl apply -k deploy/k8s/overlays/dev" in shown.stderr


@pytest.mark.parametrize(
    ("context", "words"),
    [
        ("gone", "of context 'gone' does not answer"),
        ("stranger", "the API server does not know you (context 'stranger'): Unauthorized"),
        ("nowhere", "no cluster is known here: "),
    ],
)
def test_clusters_that_do_not_answer(cluster: ApiServer, maas: Maas, context: str, words: str):
    """A server that is away, a token that it refuses, and a context that nobody knows are told in a sentence."""
    shown = maas("cluster", "status", "--context", context)
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert words in shown.stderr
    assert "Traceback" not in shown.stderr
