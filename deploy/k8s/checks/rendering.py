"""One rendering: the documents of an overlay, and ways to ask for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

Document = dict[str, Any]

NAMESPACE = "maas"
PART_OF = "app.kubernetes.io/part-of"
COMPONENT = "app.kubernetes.io/component"
# Kinds that make pods, and where their pod template lies.
_TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}


@dataclass(frozen=True)
class Problem:
    """What is wrong with one object.

    object: "Deployment/nlp", with the container where it is of one.
    text: one sentence that says what is wrong and what to do.
    """

    object: str
    text: str


@dataclass(frozen=True)
class Workload:
    """An object that makes pods."""

    document: Document
    template: Document

    @property
    def name(self) -> str:
        """Of the object."""
        return name(self.document)

    @property
    def reference(self) -> str:
        """As findings call it."""
        return reference(self.document)

    def where(self, container: Document) -> str:
        """As findings call one of its containers."""
        return reference(self.document, container)

    @property
    def pod(self) -> Document:
        """The pod's spec."""
        spec: Document = at(self.template, "spec")
        return spec

    @property
    def labels(self) -> dict[str, str]:
        """Of its pods."""
        labels: dict[str, str] = at(self.template, "metadata", "labels")
        return labels

    @property
    def component(self) -> str:
        """Which part its pods play: service, gateway, model-server or observability."""
        return self.labels.get(COMPONENT, "")

    @property
    def containers(self) -> list[Document]:
        """Those that run for as long as the pod does: side-cars, which are init containers that go on, among them."""
        return [*self.pod.get("containers", []), *filter(_is_sidecar, self.pod.get("initContainers", []))]

    @property
    def init_containers(self) -> list[Document]:
        """Those that end before the others begin."""
        return [each for each in self.pod.get("initContainers", []) if not _is_sidecar(each)]

    @property
    def all_containers(self) -> list[Document]:
        """Of both kinds."""
        return [*self.init_containers, *self.containers]

    @property
    def replicas(self) -> int | None:
        """As many as the object asks for; None for those that are one a node or run to an end."""
        return at(self.document, "spec").get("replicas", 1) if self.document["kind"] in SCALED else None

    def ports(self) -> dict[str, int]:
        """Its containers' named ports."""
        return {
            port["name"]: port["containerPort"]
            for container in self.containers
            for port in container.get("ports", [])
            if "name" in port
        }

    def has_port(self, port: object) -> bool:
        """Whether a container has this port, by name or by number."""
        ports = self.ports()
        return port in ports or port in ports.values()


SCALED = ("Deployment", "StatefulSet")


@dataclass(frozen=True)
class Rendering:
    """The documents that one `kubectl apply -k` would send.

    name: "production", or "base + gpu + tls".
    pinned: whether every image needs a digest, as in an overlay of an operator's.
    """

    name: str
    documents: tuple[Document, ...]
    pinned: bool = field(default=False)

    def of(self, *kinds: str) -> Iterator[Document]:
        """Those of these kinds."""
        return (document for document in self.documents if document.get("kind") in kinds)

    def find(self, kind: str, wanted: str) -> Document | None:
        """The one of this kind and name."""
        return next((document for document in self.of(kind) if name(document) == wanted), None)

    @cached_property
    def workloads(self) -> tuple[Workload, ...]:
        """All that makes pods."""
        return tuple(
            Workload(document, at(document, *_TEMPLATES[document["kind"]])) for document in self.of(*_TEMPLATES)
        )

    def selected(self, selector: Document | None) -> list[Workload]:
        """Whose pods a label selector takes."""
        return [each for each in self.workloads if selector is not None and selects(selector, each.labels)]


def at(value: Any, *keys: str) -> Any:
    """What lies under these keys; {} when there is nothing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return {} if value is None else value


def name(document: Document) -> str:
    """metadata.name."""
    return str(at(document, "metadata").get("name", ""))


def reference(document: Document, container: Document | None = None) -> str:
    """How findings call an object, or a container of it: "Deployment/nlp", "Deployment/nlp (nlp)"."""
    text = f"{document.get('kind', '?')}/{name(document)}"
    return f"{text} ({container.get('name', '?')})" if container else text


def selects(selector: Document, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector (matchLabels, matchExpressions) takes these labels. An empty one takes all."""
    return all(labels.get(key) == value for key, value in at(selector, "matchLabels").items()) and all(
        _holds(expression, labels) for expression in selector.get("matchExpressions") or []
    )


def _holds(expression: Document, labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or []
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels


def _is_sidecar(container: Document) -> bool:
    return container.get("restartPolicy") == "Always"
