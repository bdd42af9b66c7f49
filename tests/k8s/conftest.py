"""Fixtures of the tests on a real cluster (`make test-k8s`). Without one they say so and stop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from deploy.k8s.checks.kustomize import renderings
from deploy.k8s.checks.rendering import Document, Rendering
from deploy.k8s.checks.schemas import custom_kinds
from tests.k8s import cluster
from tests.k8s.api import Api
from tests.k8s.rewriting import custom_kinds as custom_kinds_in
from tests.k8s.rewriting import namespace_labels

# The exit code of pytest when there is no cluster: neither "tests failed" (1) nor "none collected" (5).
NO_CLUSTER = 3


@pytest.fixture(scope="session")
def api() -> Api:
    """The cluster of the current kubeconfig."""
    try:
        return cluster.connect()
    except cluster.NoCluster as error:
        pytest.exit(str(error), returncode=NO_CLUSTER)


@pytest.fixture(scope="session")
def rendered() -> Mapping[str, Rendering]:
    """Every overlay and combination by its name."""
    return {rendering.name: rendering for rendering in renderings()}


@pytest.fixture(scope="session")
def labels(rendered: Mapping[str, Rendering]) -> dict[str, str]:
    """Those of the mesh's Namespace: Pod Security `restricted`."""
    return namespace_labels(rendered["base"].documents)


@pytest.fixture(scope="session")
def taught(api: Api, rendered: Mapping[str, Rendering]) -> Iterator[list[str]]:
    """The custom kinds that the cluster lacks and that stand-ins take."""
    every: list[Document] = [document for each in rendered.values() for document in each.documents]
    with cluster.stand_ins(api, custom_kinds_in(every, custom_kinds())) as kinds:
        yield kinds


@pytest.fixture(scope="module")
def namespace(api: Api, labels: dict[str, str]) -> Iterator[str]:
    """One of the module's own."""
    with cluster.namespace(api, labels) as name:
        yield name
