"""`maas cluster models`."""

from __future__ import annotations

import json

import pytest

from tests.unit.cli.cluster.api_server import ApiServer
from tests.unit.cli.cluster.conftest import PODS, Tritons, pod
from tests.unit.cli.cluster.test_status import lines
from tests.unit.cli.fakes import Maas


def test_versions_of_each_replica(cluster: ApiServer, maas: Maas):
    """A line a model and a column a Triton, with the versions that are ready there."""
    shown = maas("cluster", "models")
    assert lines(shown.stdout)["writer"] == "writer 2 2"
    assert shown.exit_code == 0


def test_replicas_that_differ(cluster: ApiServer, maas: Maas):
    """Another version on one Triton, or a model that is not ready there, is told with its reason and ends with 1."""
    cluster.pods["triton-b"] = Tritons({"writer": "3"}, {"canary": "no such file"})
    shown = maas("cluster", "models", "list")
    assert lines(shown.stdout)["writer"] == "writer 2 3"
    assert lines(shown.stdout)["canary"] == "canary 1 not ready no such file"
    assert shown.exit_code == 1


def test_json(cluster: ApiServer, maas: Maas):
    """--json has each version's state by replica."""
    found = json.loads(maas("cluster", "models", "--json").stdout)
    assert found["triton-a"][1] == {"model": "writer", "version": 2, "state": "READY", "reason": ""}


@pytest.mark.parametrize("verb", ["load", "unload"])
def test_load_and_unload_everywhere(cluster: ApiServer, maas: Maas, verb: str):
    """Loading and unloading ask every Triton that runs, and tell of each; one that ends is left out."""
    ending = pod("triton", "c")
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    cluster.objects[PODS].append(ending)
    shown = maas("cluster", "models", verb, "writer")
    assert shown.stdout.splitlines() == [f"triton-{each}: {verb}ed writer" for each in "ab"]
    for each in "ab":
        assert cluster.pods[f"triton-{each}"].asked == [("POST", f"/v2/repository/models/writer/{verb}")]


def test_one_replica(cluster: ApiServer, maas: Maas):
    """--replica asks that Triton alone; a name that none has lists those that there are."""
    assert maas("cluster", "models", "load", "writer", "--replica", "triton-b").stdout == "triton-b: loaded writer\n"
    assert cluster.pods["triton-a"].asked == []
    shown = maas("cluster", "models", "load", "writer", "--replica", "triton-z")
    assert shown.exit_code == 1
    assert "no Triton is called 'triton-z'; there are: triton-a, triton-b" in shown.stderr


def test_what_fails_on_one(cluster: ApiServer, maas: Maas):
    """A Triton that cannot load a model says why, the others load it all the same, and the command ends with 1."""
    cluster.pods["triton-a"] = Tritons({}, {"writer": "no version is available"})
    shown = maas("cluster", "models", "load", "writer")
    assert shown.stdout == "triton-b: loaded writer\n"
    assert "triton-a: failed to load 'writer', no version is available" in shown.stderr
    assert shown.exit_code == 1


def test_no_triton(cluster: ApiServer, maas: Maas):
    """Without a Triton there is nothing to ask."""
    cluster.objects[PODS] = [pod("nlp", "a")]
    shown = maas("cluster", "models")
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "no Triton runs in namespace 'maas'" in shown.stderr
