"""The Tritons of a cluster, each asked through the API server, so that nothing needs to be opened for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from services.cli.cluster.connection import Cluster, ClusterError

# Where its pods serve HTTP, and what they are called.
PORT = 8000
_SELECTOR = {"labelSelector": "app.kubernetes.io/name=triton"}
# A big model takes minutes to load.
_LOAD_SECONDS = 600.0


@dataclass(frozen=True)
class Version:
    """A version of a model on one replica. state: READY, LOADING, UNLOADING or UNAVAILABLE; reason: of the last."""

    model: str
    version: int | None
    state: str
    reason: str


def replicas(cluster: Cluster) -> list[str]:
    """The pods that run, by name. Raises Forbidden, ClusterError."""
    pods = cluster.list(cluster.in_namespace("pods"), _SELECTOR)
    return sorted(
        pod["metadata"]["name"]
        for pod in pods
        if (pod.get("status") or {}).get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp")
    )


def serving(cluster: Cluster, pod: str) -> frozenset[str]:
    """The models that a replica serves. It only reads, so that who may look need not be let change anything.

    Raises Forbidden, ClusterError.
    """
    return frozenset(each["name"] for each in _ask(cluster, pod, "GET", "/v2/models/stats")["model_stats"])


def versions(cluster: Cluster, pod: str) -> list[Version]:
    """What a replica has in its repository, and which of it is ready. Raises Forbidden, ClusterError."""
    return [
        Version(
            each["name"],
            int(each["version"]) if each.get("version") else None,
            each.get("state") or "UNAVAILABLE",
            each.get("reason", ""),
        )
        for each in _ask(cluster, pod, "POST", "/v2/repository/index", {})
    ]


def load(cluster: Cluster, pod: str, model: str) -> None:
    """Load what the repository has now; calls under way are finished first. Raises Forbidden, ClusterError."""
    _ask(cluster, pod, "POST", f"/v2/repository/models/{quote(model)}/load", {}, seconds=_LOAD_SECONDS)


def unload(cluster: Cluster, pod: str, model: str) -> None:
    """Take a model out of a replica; calls under way are finished. Raises Forbidden, ClusterError."""
    _ask(cluster, pod, "POST", f"/v2/repository/models/{quote(model)}/unload", {}, seconds=_LOAD_SECONDS)


def _ask(cluster: Cluster, pod: str, method: str, path: str, body: object = None, *, seconds: float = 15.0) -> Any:
    status, answer = cluster.ask_pod(pod, PORT, method, path, body, seconds=seconds)
    text = answer.decode(errors="replace")
    try:
        said = json.loads(text) if text else None
    except ValueError:
        said = {"error": text}
    if status != HTTPStatus.OK:
        raise ClusterError(f"{pod}: {str(said.get('error', text) if isinstance(said, dict) else text)[:300]}")
    return said
