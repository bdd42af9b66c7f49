"""`maas cluster` with a real Triton behind what stands in for the API server's proxy."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.e2e.conftest import RunningMesh
from tests.unit.cli.cluster.api_server import ApiServer, Object, serving
from tests.unit.cli.cluster.conftest import DEPLOYMENTS, EVENTS, PODS, STATEFUL_SETS, deployment, pod

# Nothing else in these tests is lost with it for a moment.
MODEL = "handwritten-digits"

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def cluster(mesh: RunningMesh, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """Runs `maas cluster` with arguments."""

    def triton(method: str, path: str, body: Object | None) -> tuple[int, object]:
        connection = HTTPConnection("127.0.0.1", mesh.ports.triton_http, timeout=60)
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, json.loads(content) if content else None

    objects = {DEPLOYMENTS: [deployment("triton", 1)], STATEFUL_SETS: [], PODS: [pod("triton", "a")], EVENTS: []}
    with serving(ApiServer(objects, {"triton-a": triton}), tmp_path_factory.mktemp("kube")) as config:

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-m", "services.cli", "cluster", *arguments],
                env={**mesh.environment, "KUBECONFIG": str(config)},
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )

        yield run


def served(cluster: Command) -> set[str]:
    """The models that are ready."""
    found = json.loads(cluster("models", "--json").stdout)["triton-a"]
    return {each["model"] for each in found if each["state"] == "READY"}


def test_status_counts_the_models_of_a_triton(mesh: RunningMesh, cluster: Command):
    """The status of a Triton has as many models as its repository has folders."""
    shown = cluster("status")
    assert shown.returncode == 0, shown.stderr
    folders = [each for each in Path(mesh.settings.build / "models").iterdir() if (each / "config.pbtxt").is_file()]
    assert shown.stdout.splitlines()[-1].split() == ["triton-a", "yes", "running", "0.1.0", "0", str(len(folders))]


def test_a_model_is_unloaded_and_loaded_again(cluster: Command):
    """Unloading takes a model out of Triton, and loading brings it back."""
    assert MODEL in served(cluster)
    try:
        assert cluster("models", "unload", MODEL).stdout == f"triton-a: unloaded {MODEL}\n"
        assert MODEL not in served(cluster)
    finally:
        assert cluster("models", "load", MODEL).stdout == f"triton-a: loaded {MODEL}\n"
    assert MODEL in served(cluster)


def test_a_model_that_triton_does_not_have(cluster: Command):
    """Triton's own complaint about a model is shown."""
    shown = cluster("models", "load", "poet")
    assert shown.returncode == 1
    assert "triton-a: failed to load 'poet'" in shown.stderr
