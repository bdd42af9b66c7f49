"""The manifests in a namespace of the test's own, beside whatever else the cluster runs."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator

from deploy.k8s.checks.labels import CLUSTER_KINDS
from deploy.k8s.checks.rendering import Document, at, name, reference

# No scheduler of this name runs, so that the pods stay where no kubelet sees them and the test plays kubelet itself.
# That works on any cluster, and neither pulls images nor takes processors away from what else runs there.
NO_SCHEDULER = "maas-test-nobody"
TEST_LABEL = "maas-test"


def moved(documents: Iterable[Document], namespace: str) -> list[Document]:
    """The same documents in another namespace; those of the whole cluster get names of their own.

    The Namespace itself is left out: the test makes it. Addresses inside have no namespace and go on to work.
    """
    return [_moved(copy.deepcopy(document), namespace) for document in documents if document["kind"] != "Namespace"]


def _moved(document: Document, namespace: str) -> Document:
    metadata = document["metadata"]
    if document["kind"] in CLUSTER_KINDS:
        metadata["name"] = f"{namespace}-{metadata['name']}"
    else:
        metadata["namespace"] = namespace
    for subject in document.get("subjects", []):
        if subject.get("kind") == "ServiceAccount":
            subject["namespace"] = namespace
    pod = at(document, "spec", "template", "spec")
    if "priorityClassName" in pod and not pod["priorityClassName"].startswith("system-"):
        pod["priorityClassName"] = f"{namespace}-{pod['priorityClassName']}"
    return document


def unscheduled(documents: Iterable[Document]) -> list[Document]:
    """The same, with pods that no scheduler takes."""
    found = copy.deepcopy(list(documents))
    for document in found:
        pod = at(document, "spec", "template", "spec")
        if pod:
            pod["schedulerName"] = NO_SCHEDULER
    return found


def namespace_labels(documents: Iterable[Document]) -> dict[str, str]:
    """Labels of the Namespace of a rendering, those of Pod Security among them."""
    labels: dict[str, str] = next(at(each, "metadata", "labels") for each in documents if each["kind"] == "Namespace")
    return labels


def custom_kinds(documents: Iterable[Document], known: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """(apiVersion, kind) of those that the cluster must be taught.  known: custom kinds that the manifests may use."""
    may = set(known)
    return {pair for each in documents if (pair := (each["apiVersion"], each["kind"])) in may}


def stand_in(api_version: str, kind: str, *, cluster: bool) -> Document:
    """A definition that takes any object of a custom kind.  cluster: objects of it belong to no namespace."""
    group, _, version = api_version.partition("/")
    plural = f"{kind.lower()}s" if not kind.lower().endswith("y") else f"{kind.lower()[:-1]}ies"
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    metadata: Document = {"name": f"{plural}.{group}", "labels": {TEST_LABEL: "stand-in"}}
    if group.endswith(".k8s.io"):
        # The API server demands it of groups of the Kubernetes community; this form says that it is no approved one.
        metadata["annotations"] = {"api-approved.kubernetes.io": "unapproved, stand-in of a test"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": {
            "group": group,
            "scope": "Cluster" if cluster else "Namespaced",
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "versions": [{"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}],
        },
    }


def warnings_in(errors: str) -> list[str]:
    """The API server's warnings in what kubectl writes to standard error."""
    return [line.removeprefix("Warning: ") for line in errors.splitlines() if line.startswith("Warning: ")]


def refused(documents: Iterable[Document], output: str) -> Iterator[str]:
    """Objects that kubectl does not name as taken ("deployment.apps/nlp serverside-applied (server dry run)")."""
    taken = {line.split()[0].partition("/") for line in output.splitlines() if "/" in line.split(" ")[0]}
    named = {(kind.partition(".")[0], own) for kind, _, own in taken}
    for document in documents:
        if (document["kind"].lower(), name(document)) not in named:
            yield reference(document)
