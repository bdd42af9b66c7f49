"""Whether a cluster has room for what is to be applied: nodes, GPUs, storage, quota."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from kubernetes.utils.quantity import parse_quantity

from services.cli.cluster.check.finding import Finding, State
from services.cli.cluster.check.manifests import Manifests, Reference, Workload
from services.cli.cluster.connection import Absent, Cluster, ClusterError, Object
from services.cli.cluster.observed import PART_OF

_GPU = "gpu"
_NONE = Decimal(0)
_GIBIBYTE = 1024**3
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
# Kind -> path of one; namespaced ones below the mesh's namespace.
_CLUSTER_WIDE = {"PriorityClass": "/apis/scheduling.k8s.io/v1/priorityclasses"}
_NAMESPACED = {"Secret": "secrets", "ConfigMap": "configmaps", "PersistentVolumeClaim": "persistentvolumeclaims"}


def nodes(cluster: Cluster, manifests: Manifests) -> Iterator[Finding]:
    """Whether some node could carry a pod of each workload, were it empty."""
    try:
        every = cluster.list("/api/v1/nodes")
    except ClusterError as error:
        yield Finding("nodes", State.UNKNOWN, str(error))
        return
    usable = [node for node in every if not node["spec"].get("unschedulable")]
    homeless = 0
    for workload in manifests.workloads:
        if trouble := _homeless(workload, usable):
            homeless += 1
            yield Finding(f"a node for {workload.name}", State.MISSING, trouble)
    if not homeless:
        gpus = _gpus(_allocatable(node) for node in usable)
        yield Finding("nodes", State.OK, f"{len(usable)} that take pods, {gpus} GPUs; each workload fits on one")
        yield from _gpus_for(manifests, gpus)


def _gpus_for(manifests: Manifests, there: Decimal) -> Iterator[Finding]:
    """GPUs are few and whole: they are counted for all replicas, and for the one more that an update brings up."""
    wanted = _gpus({each: each_amount * workload.replicas for each, each_amount in workload.requests.items()}
                   for workload in manifests.workloads)  # fmt: skip
    if wanted > there:
        yield Finding("GPUs", State.MISSING, f"all replicas ask for {wanted}, the nodes have {there}")
    elif wanted and wanted == there:
        yield Finding("GPUs", State.WARNING, f"all {there} are taken: an update brings up one more before it ends one")


def storage(cluster: Cluster, manifests: Manifests) -> Iterator[Finding]:
    """The storage classes of claims."""
    if not manifests.storage_classes:
        return
    try:
        classes = cluster.list("/apis/storage.k8s.io/v1/storageclasses")
    except ClusterError as error:
        yield Finding("storage classes", State.UNKNOWN, str(error))
        return
    names = {each["metadata"]["name"] for each in classes}
    default = any((each["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true" for each in classes)
    for claim, wanted in manifests.storage_classes.items():
        there_are = ", ".join(sorted(names)) or "none"
        if wanted is None and not default:
            yield Finding(f"storage for {claim}", State.MISSING, f"no class is the default; there are: {there_are}")
        elif wanted and wanted not in names:
            yield Finding(f"storage for {claim}", State.MISSING, f"no class {wanted!r}; there are: {there_are}")
        else:
            yield Finding(f"storage for {claim}", State.OK, wanted or "the default class")


def quota(cluster: Cluster, manifests: Manifests) -> Iterator[Finding]:
    """Whether the namespace's quotas leave room; what the mesh uses of them already counts as free."""
    try:
        quotas = cluster.list(cluster.in_namespace("resourcequotas"))
        ours = _used(cluster.list(cluster.in_namespace("pods"), PART_OF)) if quotas else {}
    except ClusterError as error:
        yield Finding("quota", State.UNKNOWN, str(error))
        return
    needed = manifests.total()
    short = False
    for each in quotas:
        status = each.get("status") or {}
        for resource, hard in (status.get("hard") or {}).items():
            # cpu and memory are other names of what pods request.
            name = resource if "." in resource or resource == "pods" else f"requests.{resource}"
            free = (
                parse_quantity(hard)
                - parse_quantity((status.get("used") or {}).get(resource, "0"))
                + ours.get(name, _NONE)
            )
            if (asked := needed.get(name, _NONE)) > free:
                short = True
                yield Finding(
                    f"quota {each['metadata']['name']}", State.MISSING,
                    f"{_shown(resource, asked)} of {resource} are asked for, {_shown(resource, free)} are free",
                )  # fmt: skip
    if not short:
        yield Finding("quota", State.OK, f"{len(quotas)} in the namespace" if quotas else "the namespace has none")


def references(cluster: Cluster, wanted: Iterable[Reference]) -> Iterator[Finding]:
    """What the operator must have made before."""
    for each in wanted:
        subject = f"{each.kind} {each.name}"
        path = _CLUSTER_WIDE.get(each.kind) or cluster.in_namespace(_NAMESPACED[each.kind])
        try:
            cluster.get(f"{path}/{each.name}")
        except Absent:
            yield Finding(subject, State.MISSING, "pods wait for it; deploy/README.md says how to make it")
        except ClusterError as error:
            yield Finding(subject, State.UNKNOWN, str(error))
        else:
            yield Finding(subject, State.OK, "is there")


def _gpus(amounts: Iterable[Mapping[str, Decimal]]) -> Decimal:
    return sum((each for one in amounts for name, each in one.items() if name.endswith(_GPU)), _NONE)


def _homeless(workload: Workload, every: Iterable[Object]) -> str:
    """Why no node takes a pod of it, or ""."""
    wanted = workload.pod.get("nodeSelector") or {}
    labelled = [node for node in every if wanted.items() <= (node["metadata"].get("labels") or {}).items()]
    if not labelled:
        shown = ", ".join(f"{key}={value}" for key, value in wanted.items())
        return f"no node has the labels {shown}" if wanted else "no node takes pods"
    open_to_it = [node for node in labelled if _tolerates(workload.pod, node)]
    if not open_to_it:
        return "every node that it may be on has a taint that it does not tolerate"
    rooms = [_allocatable(node) for node in open_to_it]
    if any(all(amount <= room.get(name, 0) for name, amount in workload.requests.items()) for room in rooms):
        return ""
    largest = {name: max(room.get(name, _NONE) for room in rooms) for name in workload.requests}
    short = [
        f"{name} {_shown(name, amount)} (the largest node has {_shown(name, largest[name])})"
        for name, amount in workload.requests.items()
        if amount > largest[name]
    ]
    return f"no node has {', '.join(short) or 'all that it asks for at once'}"


def _tolerates(pod: Object, node: Object) -> bool:
    tolerations = pod.get("tolerations") or []
    return all(
        taint["effect"] == "PreferNoSchedule" or any(_matches(each, taint) for each in tolerations)
        for taint in node["spec"].get("taints") or []
    )


def _matches(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect", taint["effect"]) != taint["effect"]:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return bool(toleration.get("key", taint["key"]) == taint["key"])
    return bool(toleration.get("key") == taint["key"] and toleration.get("value", "") == taint.get("value", ""))


def _allocatable(node: Object) -> dict[str, Decimal]:
    found = (node.get("status") or {}).get("allocatable") or {}
    return {name: parse_quantity(amount) for name, amount in found.items()}


def _shown(resource: str, amount: Decimal) -> str:
    """As people write it."""
    return f"{amount / _GIBIBYTE:.1f}Gi" if resource.endswith("memory") else f"{amount.normalize():f}"


def _used(pods: Iterable[Object]) -> dict[str, Decimal]:
    """What pods that have not ended ask for, as quotas name it."""
    found: dict[str, Decimal] = defaultdict(Decimal)
    for pod in pods:
        if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            continue
        found["pods"] += 1
        for container in pod["spec"]["containers"]:
            for kind, amounts in (container.get("resources") or {}).items():
                for name, amount in amounts.items():
                    found[f"{kind}.{name}"] += parse_quantity(amount)
    return found
