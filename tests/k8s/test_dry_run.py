"""A real API server takes every overlay and combination, without a word of warning."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from deploy.k8s.checks.kustomize import COMBINATIONS
from deploy.k8s.checks.rendering import Rendering
from deploy.k8s.overlays import overlays
from tests.k8s.api import Api, Refused
from tests.k8s.cluster import eventually, run_kubectl
from tests.k8s.rewriting import moved, refused, warnings_in

_NAMES = [folder.name for folder in overlays()] + [" + ".join(("base", *each)) for each in ((), *COMBINATIONS)]


@pytest.mark.parametrize("name", _NAMES)
def test_the_api_server_takes_it(
    rendered: Mapping[str, Rendering], taught: list[str], namespace: str, name: str
) -> None:
    """Every object passes validation and admission, and nothing is deprecated or below Pod Security `restricted`.

    Custom kinds that the cluster lacks are taken by stand-ins that take anything: for these it says little.
    """
    documents = moved(rendered[name].documents, namespace)
    done = run_kubectl(
        "apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename=-", documents=documents
    )
    assert done.returncode == 0, f"{done.stderr}\nstand-ins: {', '.join(taught) or 'none'}"
    assert warnings_in(done.stderr) == []
    assert list(refused(documents, done.stdout)) == []


def test_the_namespace_enforces_restricted(api: Api, namespace: str) -> None:
    """A pod that may become root is refused: what the labels promise, the cluster does."""
    # Admission looks for the account that pods have by default, which a controller makes a moment after the namespace.
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
    eventually(lambda: api.ask("GET", account).status == 200, "the namespace has its default ServiceAccount")
    container = {"name": "any", "image": "registry.example/any:1"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "any"}, "spec": {"containers": [container]}}
    with pytest.raises(Refused, match="restricted"):
        api.do("POST", f"/api/v1/namespaces/{namespace}/pods", pod, query={"dryRun": "All"})
