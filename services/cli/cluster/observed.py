"""What a cluster says of the mesh's workloads: pods, rollouts, images, and what went wrong last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.cli.cluster.connection import Cluster, Object

PART_OF = {"labelSelector": "app.kubernetes.io/part-of=maas-mesh"}
# Said of a container that is only on its way.
_ON_ITS_WAY = ("ContainerCreating", "PodInitializing")


@dataclass(frozen=True)
class Pod:
    """One replica. versions: of its images. trouble: what went wrong last, "" when nothing did."""

    name: str
    phase: str
    ready: bool
    restarts: int
    versions: tuple[str, ...]
    trouble: str


@dataclass(frozen=True)
class Workload:
    """A Deployment or StatefulSet. rollout: in words, "done" when it is. trouble: of itself, not of its pods."""

    name: str
    desired: int
    ready: int
    rollout: str
    versions: tuple[str, ...]
    pods: tuple[Pod, ...]
    trouble: str

    @property
    def well(self) -> bool:
        """Whether every replica is there, ready and of the newest revision."""
        return self.ready >= self.desired and self.rollout == "done"


def workloads(cluster: Cluster) -> list[Workload]:
    """Those of the mesh, by name. Raises Forbidden, ClusterError."""
    sets = [
        each
        for kind in ("deployments", "statefulsets")
        for each in cluster.list(cluster.in_namespace(kind, "apps/v1"), PART_OF)
    ]
    pods = cluster.list(cluster.in_namespace("pods"))
    warnings = _warnings(cluster.list(cluster.in_namespace("events"), {"fieldSelector": "type=Warning"}))
    return sorted((_workload(each, pods, warnings) for each in sets), key=lambda each: each.name)


def _workload(found: Object, pods: Iterable[Object], warnings: Mapping[str, str]) -> Workload:
    metadata, spec, status = found["metadata"], found["spec"], found.get("status") or {}
    desired = spec.get("replicas", 1)
    selected = [pod for pod in pods if _matches(spec["selector"], pod["metadata"].get("labels") or {})]
    return Workload(
        name=metadata["name"],
        desired=desired,
        ready=status.get("readyReplicas", 0),
        rollout=_rollout(metadata, desired, status),
        versions=_images(spec["template"]["spec"]["containers"]),
        pods=tuple(sorted((_pod(pod, warnings) for pod in selected), key=lambda pod: pod.name)),
        trouble=_condition(status, "ReplicaFailure", "True") or warnings.get(metadata["name"], ""),
    )


def _rollout(metadata: Object, desired: int, status: Object) -> str:
    """As `kubectl rollout status` judges."""
    if status.get("observedGeneration", 0) < metadata.get("generation", 0):
        return "not begun"
    for each in status.get("conditions") or []:
        if each["type"] == "Progressing" and each.get("reason") == "ProgressDeadlineExceeded":
            return "stuck"
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    if updated < desired:
        return f"{updated} of {desired} updated"
    if status.get("replicas", 0) > updated:
        return f"{status['replicas'] - updated} old to end"
    return "done" if available >= desired else f"{available} of {desired} available"


def _pod(found: Object, warnings: Mapping[str, str]) -> Pod:
    metadata, status = found["metadata"], found.get("status") or {}
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    name = metadata["name"]
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or [])
    return Pod(
        name=name,
        phase="Terminating" if metadata.get("deletionTimestamp") else status.get("phase", "Unknown"),
        ready=ready,
        restarts=sum(each.get("restartCount", 0) for each in containers),
        versions=_images(found["spec"]["containers"]),
        trouble=next(filter(None, map(_container_trouble, containers)), "")
        or _condition(status, "PodScheduled", "False")
        # A warning of long ago is no news of a pod that is well.
        or ("" if ready else warnings.get(name, "")),
    )


def _container_trouble(status: Object) -> str:
    """What a container waits for, or how it ended last, with the time."""
    name, state = status["name"], status.get("state") or {}
    waiting, last = state.get("waiting") or {}, (status.get("lastState") or {}).get("terminated") or {}
    ended = state.get("terminated") or last
    words = []
    if waiting.get("reason") and waiting["reason"] not in _ON_ITS_WAY:
        words.append(waiting["reason"])
    if ended.get("exitCode"):
        words.append(f"{ended.get('reason', 'Error')}, exit code {ended['exitCode']}, {_ago(ended.get('finishedAt'))}")
    said = ended.get("message") or (waiting.get("message", "") if words else "")
    return f"{name}: {'; '.join(words)}{f': {_line(said)}' if said else ''}" if words else ""


def _condition(status: Object, kind: str, value: str) -> str:
    """What a condition says that has this value, or ""."""
    for each in status.get("conditions") or []:
        if each["type"] == kind and each["status"] == value:
            return _line(f"{each.get('reason', kind)}: {each.get('message', '')}")
    return ""


def _warnings(events: Iterable[Object]) -> dict[str, str]:
    """The latest warning of each object by its name."""
    found: dict[str, str] = {}
    for each in sorted(events, key=_last_seen):
        words = _line(f"{each.get('reason', '')}: {each.get('message', '')}")
        found[each["involvedObject"].get("name", "")] = f"{words} ({_ago(_last_seen(each))})"
    return found


def _last_seen(event: Object) -> str:
    series = event.get("series") or {}
    return str(
        series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
        or event["metadata"].get("creationTimestamp") or ""
    )  # fmt: skip


def _matches(selector: Object, labels: Mapping[str, str]) -> bool:
    """By matchLabels; the mesh's workloads have no expressions."""
    return all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())


def _images(containers: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The version of each image: its tag, or the beginning of its digest."""
    return tuple(_version(each.get("image", "")) for each in containers)


def _version(image: str) -> str:
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return tag or digest.removeprefix("sha256:")[:12] or "?"


def _ago(moment: str | None) -> str:
    """How long ago a time is, in the largest unit: "3 min ago"."""
    if not moment:
        return "some time ago"
    seconds = (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return f"{max(0, int(seconds))} s ago"


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 160 else line[:157] + "..."  # noqa: PLR2004 - a line on a wide terminal
