"""How the tests on a cluster talk to it; here with a server that answers as one would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.k8s import cluster
from tests.k8s.api import MERGE, Api, Refused, warnings_of
from tests.k8s.conftest import NO_CLUSTER
from tests.k8s.kubelet import Kubelet, is_ready, ready
from tests.unit.k8s.conftest import ApiServer

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_MONITORS = ("monitoring.coreos.com/v1", "ServiceMonitor")
_REPOSITORY = Path(__file__).resolve().parents[3]


def test_the_token_of_the_kubeconfig_is_shown(api: Api, api_server: ApiServer) -> None:
    """Every request is made as the user of the current context."""
    what, headers, _ = api_server.asked[-1]
    assert (what, headers["authorization"]) == ("GET /version", "Bearer secret")


def test_without_a_cluster_the_tests_stop(tmp_path: Path) -> None:
    """`make test-k8s` says in one sentence that there is no cluster, runs nothing, and does not pass."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/k8s", "--no-header"],
        env={**os.environ, "KUBECONFIG": str(tmp_path / "none")},
        cwd=_REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == NO_CLUSTER
    assert "There is no cluster to test on" in done.stdout
    assert "passed" not in done.stdout
    assert "failed" not in done.stdout


def test_a_cluster_that_does_not_answer_is_none(kubeconfig: Path, api_server: ApiServer) -> None:
    """The sentence tells which address was tried."""
    kubeconfig.write_text(kubeconfig.read_text().replace(api_server.url, "http://127.0.0.1:9"))
    with pytest.raises(cluster.NoCluster, match=r"http://127\.0\.0\.1:9 does not answer"):
        cluster.connect()


def test_a_refusal_has_the_servers_words(api: Api, api_server: ApiServer) -> None:
    """What is not done is an error with the reason; `ask` gives it as an answer."""
    api_server.answers["POST /api/v1/namespaces"] = (403, {"message": "namespaces is forbidden"})
    with pytest.raises(Refused, match="403: namespaces is forbidden"):
        api.do("POST", "/api/v1/namespaces", {"kind": "Namespace"})
    assert api.ask("POST", "/api/v1/namespaces", {"kind": "Namespace"}).status == 403


def test_warnings_come_with_the_answer(api: Api, api_server: ApiServer) -> None:
    """Each Warning header is one text."""
    api_server.warnings = ('299 - "would violate PodSecurity \\"restricted:latest\\""', '299 - "v1beta1 is deprecated"')
    answer = api.ask("GET", "/version")
    assert answer.warnings == ('would violate PodSecurity "restricted:latest"', "v1beta1 is deprecated")
    assert warnings_of([]) == ()


def test_queries_and_kinds_of_patches_are_sent(api: Api, api_server: ApiServer) -> None:
    """A dry run is one in the address, and a merge patch says that it is one."""
    api_server.answers["PATCH /x?dryRun=All"] = (200, {})
    api.do("PATCH", "/x", {"spec": {}}, content_type=MERGE, query={"dryRun": "All"})
    _, headers, body = api_server.asked[-1]
    assert (headers["content-type"], body) == (MERGE, {"spec": {}})


def _pod(name: str, *, is_running: bool = False, ends: bool = False) -> dict[str, Any]:
    metadata = {"name": name, "uid": f"uid-{name}"} | ({"deletionTimestamp": "2026-01-01T00:00:00Z"} if ends else {})
    pod: dict[str, Any] = {"metadata": metadata, "spec": {"containers": [{"name": "one", "image": "any:1"}]}}
    return pod | ({"status": ready(pod)} if is_running else {})


def test_the_kubelet_makes_ready_and_lets_go(api: Api, api_server: ApiServer) -> None:
    """It patches the status of pods that wait, removes those that end, and leaves those alone that run."""
    pods = [_pod("waits"), _pod("runs", is_running=True), _pod("ends", ends=True)]
    api_server.answers["GET /api/v1/namespaces/mine/pods"] = (200, {"items": pods})
    kubelet = Kubelet(api, "mine")
    kubelet.work()
    assert api_server.questions("PATCH") == ["/api/v1/namespaces/mine/pods/waits/status"]
    [patch] = [body for what, _, body in api_server.asked if what.startswith("PATCH")]
    assert is_ready(patch)
    assert [each["name"] for each in patch["status"]["containerStatuses"]] == ["one"]
    assert api_server.questions("DELETE") == ["/api/v1/namespaces/mine/pods/ends"]
    assert api_server.asked[-1][2] == {"gracePeriodSeconds": 0, "preconditions": {"uid": "uid-ends"}}
    assert [each["metadata"]["name"] for each in kubelet.pods()] == ["waits", "runs"]


def test_only_what_the_cluster_lacks_gets_a_stand_in(api: Api, api_server: ApiServer) -> None:
    """A kind that is served stays as it is; the stand-in of another one is gone afterwards."""
    api_server.answers["GET /apis/cert-manager.io/v1"] = (200, {"resources": [{"kind": "Certificate"}]})
    api_server.answers[f"POST {_DEFINITIONS}"] = (201, {})
    api_server.learns["GET /apis/monitoring.coreos.com/v1"] = (200, {"resources": [{"kind": "ServiceMonitor"}]})
    with cluster.stand_ins(api, {_MONITORS, ("cert-manager.io/v1", "Certificate")}) as kinds:
        assert kinds == ["ServiceMonitor"]
        assert api_server.questions("POST") == [_DEFINITIONS]
        assert api_server.questions("DELETE") == []
    assert api_server.questions("DELETE") == [f"{_DEFINITIONS}/servicemonitors.monitoring.coreos.com"]


def test_a_namespace_is_gone_afterwards(api: Api, api_server: ApiServer) -> None:
    """Also when the test in it fails; it has the labels of Pod Security."""
    api_server.answers["POST /api/v1/namespaces"] = (201, {})
    with pytest.raises(RuntimeError, match="in the test"), cluster.namespace(api, {"enforce": "restricted"}) as name:
        raise RuntimeError("in the test")
    [created] = [body for what, _, body in api_server.asked if what.startswith("POST")]
    assert created["metadata"] == {"name": name, "labels": {"enforce": "restricted", "maas-test": "own"}}
    assert api_server.questions("DELETE") == [f"/api/v1/namespaces/{name}"]


def test_waiting_has_an_end() -> None:
    """What never holds is an error that says what was waited for."""
    with pytest.raises(AssertionError, match=r"not within 0 s: rain"):
        cluster.eventually(lambda: False, "rain", seconds=0)
