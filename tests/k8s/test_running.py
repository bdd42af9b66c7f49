"""The overlay dev on a real control plane: what its controllers make of it.

No container runs: no scheduler takes the pods, and the test says in the kubelet's place when they are ready. The tests
of this file go on from one another, in their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from deploy.k8s.checks.rbac import roles_of
from deploy.k8s.checks.rendering import Document, Rendering, name
from tests.k8s.api import MERGE, Api
from tests.k8s.cluster import eventually, run_kubectl
from tests.k8s.kubelet import Kubelet, is_ready
from tests.k8s.rewriting import moved, unscheduled, warnings_in

_NLP = "app.kubernetes.io/name=nlp"
_FOREVER = "maas-test/updated"


@dataclass
class Mesh:
    """The overlay, applied."""

    api: Api
    rendering: Rendering
    documents: list[Document]
    namespace: str
    kubelet: Kubelet

    def deployments(self) -> dict[str, Document]:
        """By name, as they are now."""
        found = self.api.items(f"/apis/apps/v1/namespaces/{self.namespace}/deployments")
        return {name(each): each for each in found}

    def budget(self) -> Document:
        """The state of nlp's PodDisruptionBudget."""
        path = f"/apis/policy/v1/namespaces/{self.namespace}/poddisruptionbudgets/nlp"
        return self.api.do("GET", path).body.get("status", {})

    def evict(self, pod: Document) -> int:
        """HTTP's status of evicting it."""
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name(pod)}}
        return self.api.ask("POST", f"{self.kubelet.pods_path}/{name(pod)}/eviction", body).status

    def patch_nlp(self, body: Document, subresource: str = "") -> None:
        """Change the Deployment nlp."""
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/nlp{subresource}"
        self.api.do("PATCH", path, body, content_type=MERGE)

    def settle(self) -> None:
        """Play kubelet until every Deployment has what it wants, and nothing of before is left."""
        eventually(self._is_settled, "every Deployment is complete")

    def _is_settled(self) -> bool:
        self.kubelet.work()
        return all(_is_complete(each) for each in self.deployments().values())


def _is_complete(deployment: Document) -> bool:
    wanted, status = deployment["spec"]["replicas"], deployment.get("status", {})
    return status.get("observedGeneration", 0) >= deployment["metadata"]["generation"] and all(
        status.get(each, 0) == wanted for each in ("replicas", "updatedReplicas", "availableReplicas")
    )


@pytest.fixture(scope="module")
def mesh(api: Api, rendered: Mapping[str, Rendering], namespace: str) -> Iterator[Mesh]:
    """dev, applied as an operator does it."""
    documents = unscheduled(moved(rendered["dev"].documents, namespace))
    done = run_kubectl("apply", "--filename=-", documents=documents)
    assert done.returncode == 0, done.stderr
    assert warnings_in(done.stderr) == []
    yield Mesh(api, rendered["dev"], documents, namespace, Kubelet(api, namespace))
    # Objects of the whole cluster, which do not go with the namespace.
    run_kubectl("delete", "--ignore-not-found", "--wait=false", "--filename=-", documents=documents)


def test_every_workload_gets_its_pods(mesh: Mesh) -> None:
    """Admission lets the pods of every Deployment through, Pod Security `restricted` among it."""
    for each in mesh.deployments().values():
        selector = ",".join(f"{key}={value}" for key, value in each["spec"]["selector"]["matchLabels"].items())
        eventually(
            lambda each=each, selector=selector: len(mesh.kubelet.pods(selector)) == each["spec"]["replicas"],
            f"{name(each)} has its pods",
        )


def test_only_who_needs_a_token_has_one(mesh: Mesh) -> None:
    """A pod has a volume with its account's token exactly where a Role is bound to the account."""
    for pod in mesh.kubelet.pods():
        volumes = [each["name"] for each in pod["spec"].get("volumes", []) if "projected" in each]
        has_token = any(each.startswith("kube-api-access") for each in volumes)
        assert has_token == bool(roles_of(mesh.rendering, pod["spec"]["serviceAccountName"])), name(pod)


def test_the_rollout_ends_when_the_pods_are_ready(mesh: Mesh) -> None:
    """Every Deployment becomes available, and `kubectl rollout status` says so."""
    mesh.settle()
    for each in mesh.deployments():
        done = run_kubectl("rollout", "status", f"deployment/{each}", f"--namespace={mesh.namespace}", "--timeout=30s")
        assert done.returncode == 0, done.stderr


def test_an_update_keeps_the_old_pod_until_the_new_one_is_ready(mesh: Mesh) -> None:
    """MaxUnavailable 0: the pod that answers stays while its successor starts, and goes after that."""
    [old] = mesh.kubelet.pods(_NLP)
    mesh.patch_nlp({"spec": {"template": {"metadata": {"annotations": {_FOREVER: "once"}}}}})
    eventually(lambda: len(mesh.kubelet.pods(_NLP)) == 2, "the successor is there")
    before = {name(pod): is_ready(pod) for pod in mesh.kubelet.pods(_NLP)}
    assert before.pop(name(old)) is True
    assert list(before.values()) == [False]
    mesh.settle()
    assert [name(pod) for pod in mesh.kubelet.pods(_NLP)] == list(before)


def test_one_pod_at_a_time_may_be_evicted(mesh: Mesh) -> None:
    """Of two replicas one may go; the other is kept (429) until a third is ready."""
    mesh.patch_nlp({"spec": {"replicas": 2}}, "/scale")
    mesh.settle()
    eventually(
        lambda: (mesh.budget().get("currentHealthy"), mesh.budget().get("disruptionsAllowed")) == (2, 1),
        "the budget knows both",
    )
    one, other = mesh.kubelet.pods(_NLP)
    assert mesh.evict(one) == 201
    assert mesh.evict(other) == 429
    mesh.settle()
    eventually(lambda: mesh.budget().get("disruptionsAllowed") == 1, "the budget knows the third")
    assert mesh.evict(other) == 201
    mesh.settle()


def test_applying_again_changes_nothing(mesh: Mesh) -> None:
    """What is there already stays as it is; neither is a number of replicas set back that somebody else chose."""
    before = {each: found["metadata"]["generation"] for each, found in mesh.deployments().items()}
    done = run_kubectl("apply", "--filename=-", documents=mesh.documents)
    assert done.returncode == 0, done.stderr
    after = mesh.deployments()
    assert {each: found["metadata"]["generation"] for each, found in after.items()} == before
    assert after["nlp"]["spec"]["replicas"] == 2
