"""What is to be applied, and what it needs of a cluster."""

from __future__ import annotations

import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path

import yaml
from kubernetes.utils.quantity import parse_quantity

from services.cli.cluster.connection import ClusterError, Object

_RENDER_SECONDS = 60
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")


@dataclass(frozen=True, order=True)
class Kind:
    """A kind of object. api_version: "apps/v1"."""

    api_version: str
    name: str

    @property
    def group(self) -> str:
        """Of the API, as in "apps"; "" of the oldest kinds."""
        return self.api_version.rpartition("/")[0]


@dataclass(frozen=True)
class Workload:
    """What makes pods. requests, limits: of one pod. pod: its specification."""

    name: str
    replicas: int
    requests: dict[str, Decimal]
    limits: dict[str, Decimal]
    pod: Object


@dataclass(frozen=True, order=True)
class Reference:
    """An object that a pod cannot start without and that the manifests do not bring."""

    kind: str
    name: str


@dataclass(frozen=True)
class Manifests:
    """Rendered objects."""

    objects: Sequence[Object]

    @cached_property
    def kinds(self) -> list[Kind]:
        """Each kind once."""
        return sorted({Kind(each["apiVersion"], each["kind"]) for each in self.objects})

    @cached_property
    def workloads(self) -> list[Workload]:
        """What makes pods; with an autoscaler, as many replicas as it begins with."""
        least = {
            each["spec"]["scaleTargetRef"]["name"]: each["spec"].get(field, 1)
            for kind, field in (("HorizontalPodAutoscaler", "minReplicas"), ("ScaledObject", "minReplicaCount"))
            for each in self.of(kind)
        }
        return [_workload(each, least) for each in self.objects if each["kind"] in _WORKLOADS]

    @cached_property
    def storage_classes(self) -> dict[str, str | None]:
        """Claim -> its storage class; None for the cluster's default."""
        claims = self.of("PersistentVolumeClaim")
        for each in self.of("StatefulSet"):
            claims += each["spec"].get("volumeClaimTemplates") or []
        return {each["metadata"]["name"]: each["spec"].get("storageClassName") for each in claims}

    @cached_property
    def missing(self) -> list[Reference]:
        """What pods refer to, must be there, and is not among the objects."""
        there = {Reference(each["kind"], each["metadata"]["name"]) for each in self.objects}
        wanted = {found for each in self.workloads for found in _references(each.pod)}
        return sorted(wanted - there)

    def of(self, kind: str) -> list[Object]:
        """The objects of a kind."""
        return [each for each in self.objects if each["kind"] == kind]

    def total(self) -> dict[str, Decimal]:
        """What all pods ask for together, as quotas name it."""
        found: dict[str, Decimal] = defaultdict(Decimal)
        for each in self.workloads:
            found["pods"] += each.replicas
            for kind, amounts in (("requests", each.requests), ("limits", each.limits)):
                for resource, amount in amounts.items():
                    found[f"{kind}.{resource}"] += each.replicas * amount
        return found


def read(source: str) -> Manifests:
    """Of a kustomization's folder, or a file of rendered objects. Raises ClusterError."""
    path = Path(source)
    if path.is_dir():
        text = _render(path)
    elif path.is_file():
        text = path.read_text("utf-8")
    else:
        raise ClusterError(f"there is no {source}: give a folder with a kustomization, or a file of manifests")
    try:
        objects = [each for each in yaml.safe_load_all(text) if each]
    except yaml.YAMLError as error:
        raise ClusterError(f"{source} is no YAML: {error}") from None
    if not objects or not all(isinstance(each, dict) and {"kind", "apiVersion"} <= each.keys() for each in objects):
        raise ClusterError(f"{source} has no Kubernetes objects")
    return Manifests(objects)


def _render(folder: Path) -> str:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise ClusterError("kubectl is not on the PATH; it renders the kustomization")
    done = subprocess.run(
        [kubectl, "kustomize", str(folder)], capture_output=True, text=True, timeout=_RENDER_SECONDS, check=False
    )
    if done.returncode:
        raise ClusterError(f"kubectl kustomize {folder}: {done.stderr.strip()[:500]}")
    return done.stdout


def _workload(found: Object, least: dict[str, int]) -> Workload:
    pod, name = found["spec"]["template"]["spec"], found["metadata"]["name"]
    replicas = max(found["spec"].get("replicas", 1), least.get(name, 0))
    # A limit is a request, where there is no other.
    return Workload(name, replicas, _asked(pod, "limits", "requests"), _asked(pod, "limits"), pod)


def _asked(pod: Object, *kinds: str) -> dict[str, Decimal]:
    """What the containers of a pod say under these names together, the last name first."""
    total: dict[str, Decimal] = {}
    for container in pod["containers"]:
        for resource, amount in _amounts(container, kinds).items():
            total[resource] = total.get(resource, Decimal(0)) + amount
    for container in pod.get("initContainers") or []:  # they run before, one after another
        for resource, amount in _amounts(container, kinds).items():
            total[resource] = max(total.get(resource, Decimal(0)), amount)
    return total


def _amounts(container: Object, kinds: Sequence[str]) -> dict[str, Decimal]:
    resources = container.get("resources") or {}
    return {name: parse_quantity(amount) for kind in kinds for name, amount in (resources.get(kind) or {}).items()}


def _references(pod: Object) -> Iterator[Reference]:
    if name := pod.get("priorityClassName"):
        yield Reference("PriorityClass", name)
    yield from (Reference("Secret", each["name"]) for each in pod.get("imagePullSecrets") or [])
    for volume in pod.get("volumes") or []:
        projected = (volume.get("projected") or {}).get("sources") or []
        for source in (volume, *projected):
            yield from _sources(source, {"secret": "Secret", "configMap": "ConfigMap"})
        if claim := volume.get("persistentVolumeClaim"):
            yield Reference("PersistentVolumeClaim", claim["claimName"])
    for container in (*(pod.get("initContainers") or []), *pod["containers"]):
        named = {"secretRef": "Secret", "configMapRef": "ConfigMap"}
        keyed = {"secretKeyRef": "Secret", "configMapKeyRef": "ConfigMap"}
        for source in container.get("envFrom") or []:
            yield from _sources(source, named)
        for variable in container.get("env") or []:
            yield from _sources(variable.get("valueFrom") or {}, keyed)


def _sources(source: Object, kinds: dict[str, str]) -> Iterator[Reference]:
    for key, kind in kinds.items():
        said = source.get(key)
        if said and not said.get("optional"):
            yield Reference(kind, said.get("secretName") or said["name"])
