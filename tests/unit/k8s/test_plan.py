"""What the tests on a cluster send and expect, worked out from the manifests alone."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.k8s.checks.kustomize import render_overlay
from deploy.k8s.checks.rendering import Rendering
from deploy.k8s.checks.schemas import custom_kinds, schema
from deploy.k8s.overlays import overlays
from tests.k8s import rewriting
from tests.k8s.rights import Question, questions, review

_POD = {"spec": {"priorityClassName": "maas-high", "containers": []}}


def _object(kind: str, name: str, **more: object) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "maas"}, **more}


def test_everything_moves_into_the_tests_namespace() -> None:
    """Objects and the accounts that bindings name; the Namespace itself is the test's own."""
    subjects = [{"kind": "ServiceAccount", "name": "models", "namespace": "maas"}]
    binding = _object("RoleBinding", "models", subjects=subjects)
    service, moved = rewriting.moved([_object("Namespace", "maas"), _object("Service", "nlp"), binding], "mine")
    assert (service["kind"], service["metadata"]["namespace"]) == ("Service", "mine")
    assert (moved["metadata"]["namespace"], moved["subjects"][0]["namespace"]) == ("mine", "mine")
    assert subjects[0]["namespace"] == "maas"


def test_objects_of_the_cluster_get_names_of_the_tests_own() -> None:
    """So that a mesh that runs in the same cluster keeps its priorities; pods name the new ones."""
    priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "maas-high"}}
    deployment = _object("Deployment", "nlp", spec={"template": _POD})
    moved = rewriting.moved([priority, deployment], "mine")
    assert moved[0]["metadata"] == {"name": "mine-maas-high"}
    assert moved[1]["spec"]["template"]["spec"]["priorityClassName"] == "mine-maas-high"


def test_pods_wait_for_a_scheduler_that_is_not_there() -> None:
    """No node runs them; other objects stay as they are."""
    before = [_object("Deployment", "a", spec={"template": _POD}), _object("Service", "b")]
    deployment, service = rewriting.unscheduled(before)
    assert deployment["spec"]["template"]["spec"]["schedulerName"] == rewriting.NO_SCHEDULER
    assert service == _object("Service", "b")
    assert "schedulerName" not in _POD["spec"]


def test_a_stand_in_takes_anything() -> None:
    """A definition names its kind as the group does, and keeps every field."""
    found = rewriting.stand_in("keda.sh/v1alpha1", "ScaledObject", cluster=False)
    assert found["metadata"]["name"] == "scaledobjects.keda.sh"
    assert found["spec"]["scope"] == "Namespaced"
    [version] = found["spec"]["versions"]
    assert version["name"] == "v1alpha1"
    assert version["schema"]["openAPIV3Schema"]["x-kubernetes-preserve-unknown-fields"] is True


def test_a_stand_in_for_a_group_of_the_community_says_that_it_is_one() -> None:
    """The API server takes no definition of a *.k8s.io group without this annotation."""
    found = rewriting.stand_in("gateway.networking.k8s.io/v1", "BackendTLSPolicy", cluster=False)
    assert found["metadata"]["name"] == "backendtlspolicies.gateway.networking.k8s.io"
    assert found["metadata"]["annotations"]["api-approved.kubernetes.io"].startswith("unapproved")


def test_custom_kinds_are_told_from_those_of_kubernetes() -> None:
    """Only the former need a definition."""
    monitor = {"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": {"name": "a"}}
    found = rewriting.custom_kinds([monitor, _object("Service", "b")], custom_kinds())
    assert found == {("monitoring.coreos.com/v1", "ServiceMonitor")}


def test_warnings_and_refusals_are_read_from_kubectl() -> None:
    """Warnings are lines of standard error; what standard output does not name was not taken."""
    assert rewriting.warnings_in("Warning: would violate PodSecurity\nerror: no\n") == ["would violate PodSecurity"]
    output = (
        "service/nlp serverside-applied (server dry run)\ndeployment.apps/nlp serverside-applied (server dry run)\n"
    )
    documents = [_object("Service", "nlp"), _object("Deployment", "nlp"), _object("ConfigMap", "nlp")]
    assert list(rewriting.refused(documents, output)) == ["ConfigMap/nlp"]


@pytest.fixture
def rights() -> Rendering:
    """An account with a Role, and one without."""
    rules = [
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["state"], "verbs": ["get", "update"]},
        {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"]},
    ]
    role = _object("Role", "models", rules=rules)
    subjects = [{"kind": "ServiceAccount", "name": "models"}]
    binding = _object("RoleBinding", "models", roleRef={"kind": "Role", "name": "models"}, subjects=subjects)
    accounts = (_object("ServiceAccount", "models"), _object("ServiceAccount", "nlp"))
    return Rendering("any", (role, binding, *accounts))


def test_every_right_is_asked_for(rights: Rendering) -> None:
    """Each verb of each rule, by name where the rule has names, and subresources apart."""
    assert [question for question, allowed in questions(rights) if allowed] == [
        Question("models", "delete", "", "pods"),
        Question("models", "get", "", "configmaps", name="state"),
        Question("models", "get", "", "pods"),
        Question("models", "get", "", "pods", "log"),
        Question("models", "update", "", "configmaps", name="state"),
    ]


def test_what_is_dangerous_is_expected_to_be_refused(rights: Rendering) -> None:
    """Unless a Role allows it: deleting pods is the business of `models` here, and of nobody else."""
    refused = {str(question) for question, allowed in questions(rights) if not allowed}
    assert {"nlp: get secrets", "nlp: create pods/exec", "nlp: delete pods", "models: get secrets"} <= refused
    assert "models: delete pods" not in refused
    assert "models: delete configmaps" in refused


def test_a_review_asks_in_the_accounts_name() -> None:
    """With its groups, without which rights of all accounts would not count."""
    spec = review(Question("nlp", "create", "", "pods", "exec"), "mine")["spec"]
    assert spec["user"] == "system:serviceaccount:mine:nlp"
    assert "system:serviceaccounts:mine" in spec["groups"]
    asked = {"namespace": "mine", "verb": "create", "group": "", "resource": "pods", "subresource": "exec"}
    assert spec["resourceAttributes"] == asked


@pytest.mark.parametrize("overlay", [folder.name for folder in overlays()])
def test_real_overlays_can_be_moved(overlay: str) -> None:
    """What is sent is still right by the schemas; everything is the test's own, and named as such."""
    original = render_overlay(overlay)
    documents = rewriting.unscheduled(rewriting.moved(original.documents, "mine"))
    moved = Rendering(overlay, tuple(documents))
    assert list(schema(moved)) == []
    assert len(documents) == len(original.documents) - 1
    assert all(
        each["metadata"].get("namespace", each["metadata"]["name"].partition("-")[0]) == "mine" for each in documents
    )
    priorities = {each["metadata"]["name"] for each in moved.of("PriorityClass")}
    assert {workload.pod.get("priorityClassName") for workload in moved.workloads} <= priorities | {None}
    assert {question.account for question, allowed in questions(moved) if allowed} == {"models"}
