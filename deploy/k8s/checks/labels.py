"""Names, namespaces, and selectors that select what they mean."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import combinations

from deploy.k8s.checks.rendering import COMPONENT, NAMESPACE, Document, Problem, Rendering, at, name, reference, selects

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SERVICE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_PORT = re.compile(r"(?=.{1,15}$)(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_LONGEST_LABEL = 63
# Policies may be there before the pods of components/tracing are, and those that cert-manager makes for a challenge.
_ADDED_LATER = (
    *({COMPONENT: "observability", "app.kubernetes.io/name": each} for each in ("collector", "jaeger")),
    {"acme.cert-manager.io/http01-solver": "true"},
)
_NOT_OURS = frozenset({"ClusterRoleBinding", "CustomResourceDefinition", "APIService", "StorageClass", "GatewayClass"})
# Objects that belong to the whole cluster; these alone may be rendered, and the rest of the cluster's objects never.
CLUSTER_KINDS = frozenset({"Namespace", "PriorityClass", "ClusterIssuer", "ClusterRole"})


def duplicates(rendering: Rendering) -> Iterator[Problem]:
    """No object stands twice: the later one would silently win."""
    seen = Counter(
        (
            document.get("apiVersion", "").rpartition("/")[0],
            reference(document),
            at(document, "metadata").get("namespace"),
        )
        for document in rendering.documents
    )
    for (_, what, _), times in seen.items():
        if times > 1:
            yield Problem(what, f"stands {times} times: keep one")


def namespaces(rendering: Rendering) -> Iterator[Problem]:
    """Everything lies in the mesh's own namespace, and of the cluster's objects only the expected kinds are there."""
    for document in rendering.documents:
        namespace = at(document, "metadata").get("namespace")
        kind = str(document.get("kind", ""))
        if kind in CLUSTER_KINDS:
            if namespace is not None:
                yield Problem(reference(document), "belongs to the whole cluster: take its namespace away")
        elif kind in _NOT_OURS:
            yield Problem(reference(document), "would change the whole cluster: leave it to the operator")
        elif namespace != NAMESPACE:
            yield Problem(reference(document), f"lies in namespace {namespace!r}: set {NAMESPACE!r}")


def names(rendering: Rendering) -> Iterator[Problem]:
    """Names, labels and names of ports are such as the API server takes."""
    for document in rendering.documents:
        kind, own = document.get("kind"), name(document)
        pattern = {"Service": _SERVICE, "Namespace": _LABEL}.get(str(kind), _SUBDOMAIN)
        if not pattern.fullmatch(own) or (pattern is not _SUBDOMAIN and len(own) > _LONGEST_LABEL):
            yield Problem(reference(document), f"{own!r} is no name for a {kind}: take lower case, digits and dashes")
        yield from _bad_labels(document, at(document, "metadata", "labels"))
        for service_port in at(document, "spec", "ports") or [] if kind == "Service" else []:
            if not _LABEL.fullmatch(str(service_port.get("name", ""))):
                yield Problem(
                    reference(document), f"port {service_port.get('port')} has no name in lower case: name it"
                )
    for workload in rendering.workloads:
        yield from _bad_labels(workload.document, workload.labels)
        for container in workload.all_containers:
            for port in container.get("ports", []):
                if not _PORT.fullmatch(str(port.get("name", ""))):
                    yield Problem(
                        workload.where(container),
                        f"port {port.get('containerPort')} needs a name of up to 15 letters, digits and dashes",
                    )


def _bad_labels(document: Document, labels: Document) -> Iterator[Problem]:
    for key, value in labels.items():
        if not isinstance(value, str) or not _VALUE.fullmatch(value) or len(value) > _LONGEST_LABEL:
            yield Problem(
                reference(document), f"label {key} cannot be {value!r}: quote it, and keep it short and plain"
            )


def workload_selectors(rendering: Rendering) -> Iterator[Problem]:
    """A workload selects its own pods and no other's."""
    selecting = [each for each in rendering.workloads if each.document["kind"] not in {"Job", "CronJob"}]
    for workload in selecting:
        selector = at(workload.document, "spec", "selector")
        if not selector or not selects(selector, workload.labels):
            yield Problem(workload.reference, "its selector does not match its template's labels: make them equal")
    for one, other in combinations(selecting, 2):
        for this, that in ((one, other), (other, one)):
            selector = at(this.document, "spec", "selector")
            if selector and selects(selector, that.labels):
                yield Problem(this.reference, f"its selector takes the pods of {that.reference} too: make it narrower")


def service_selectors(rendering: Rendering) -> Iterator[Problem]:
    """A Service selects the pods of exactly one workload."""
    for service in rendering.of("Service"):
        selector = at(service, "spec").get("selector")
        if selector is None and at(service, "spec").get("type") == "ExternalName":
            continue
        found = rendering.selected({"matchLabels": selector} if selector else None)
        if not found:
            yield Problem(reference(service), "its selector takes no pod: give it the labels of a pod template")
        elif len(found) > 1:
            took = ", ".join(each.reference for each in found)
            yield Problem(reference(service), f"its selector takes the pods of {took}: make it narrower")


def disruption_selectors(rendering: Rendering) -> Iterator[Problem]:
    """A PodDisruptionBudget selects the pods of one workload, and no pod has two."""
    budgets: Counter[str] = Counter()
    for budget in rendering.of("PodDisruptionBudget"):
        found = rendering.selected(at(budget, "spec").get("selector"))
        budgets.update(each.reference for each in found)
        if len(found) != 1:
            took = ", ".join(each.reference for each in found) or "no pod"
            yield Problem(reference(budget), f"its selector takes {took}: it should be the pods of one workload")
    for what, count in budgets.items():
        if count > 1:
            yield Problem(what, f"has {count} PodDisruptionBudgets: an eviction fails with more than one")


def policy_selectors(rendering: Rendering) -> Iterator[Problem]:
    """A NetworkPolicy applies to pods that are there, and those it names as peers are there too."""
    for policy in rendering.of("NetworkPolicy"):
        if not _takes_somebody(rendering, at(policy, "spec", "podSelector")):
            yield Problem(reference(policy), "its podSelector takes no pod: give it the labels of a pod template")
        for direction, side in (("ingress", "from"), ("egress", "to")):
            for rule in at(policy, "spec", direction) or []:
                for peer in rule.get(side) or []:
                    inside = "podSelector" in peer and "namespaceSelector" not in peer
                    if inside and not _takes_somebody(rendering, peer["podSelector"]):
                        yield Problem(reference(policy), f"a peer under {direction} takes no pod: correct its labels")


def _takes_somebody(rendering: Rendering, selector: Document) -> bool:
    return bool(rendering.selected(selector)) or any(selects(selector, labels) for labels in _ADDED_LATER)


def monitor_selectors(rendering: Rendering) -> Iterator[Problem]:
    """A ServiceMonitor selects Services, a PodMonitor pods."""
    for monitor in rendering.of("ServiceMonitor"):
        if not monitored_services(rendering, monitor):
            yield Problem(reference(monitor), "its selector takes no Service: give it the labels of one")
    for monitor in rendering.of("PodMonitor"):
        if not rendering.selected(at(monitor, "spec", "selector")):
            yield Problem(reference(monitor), "its selector takes no pod: give it the labels of a pod template")


def monitored_services(rendering: Rendering, monitor: Document) -> list[Document]:
    """The Services that a ServiceMonitor selects."""
    selector = at(monitor, "spec", "selector")
    return [each for each in rendering.of("Service") if selector and selects(selector, at(each, "metadata", "labels"))]


def own_selectors(rendering: Rendering) -> Iterator[Problem]:
    """What a pod says of its like (spread, anti-affinity) selects itself: else it has no effect at all."""
    for workload in rendering.workloads:
        selectors = [each.get("labelSelector") for each in workload.pod.get("topologySpreadConstraints", [])]
        anti = at(workload.pod, "affinity", "podAntiAffinity")
        selectors += [
            each.get("labelSelector") for each in anti.get("requiredDuringSchedulingIgnoredDuringExecution", [])
        ]
        selectors += [
            at(each, "podAffinityTerm").get("labelSelector")
            for each in anti.get("preferredDuringSchedulingIgnoredDuringExecution", [])
        ]
        for selector in selectors:
            if selector is None or not selects(selector, workload.labels):
                yield Problem(workload.reference, f"spreads over pods of {selector}: select its own template's labels")
