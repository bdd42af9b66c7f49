"""Plays kubelet for pods that no scheduler takes: says that they are ready, and lets them go."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from deploy.k8s.checks.rendering import Document, name
from tests.k8s.api import MERGE, Api


class Kubelet:
    """One for a namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self.pods_path = f"/api/v1/namespaces/{namespace}/pods"

    def pods(self, selector: str = "") -> list[Document]:
        """Those that are not on their way out."""
        return [pod for pod in self._api.items(self.pods_path, selector) if "deletionTimestamp" not in pod["metadata"]]

    def work(self, chosen: Callable[[Document], bool] = lambda _: True) -> None:
        """Make the chosen pods ready that are not, and remove those that end."""
        for pod in self._api.items(self.pods_path):
            path = f"{self.pods_path}/{name(pod)}"
            if "deletionTimestamp" in pod["metadata"]:
                # 404 is as good: it was gone before.
                self._api.ask(
                    "DELETE", path, {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
                )
            elif chosen(pod) and not is_ready(pod):
                self._api.ask("PATCH", f"{path}/status", {"status": ready(pod)}, content_type=MERGE)


def is_ready(pod: Document) -> bool:
    """By its condition."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def ready(pod: Document) -> Document:
    """The status of a pod all of whose containers run and are ready."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "phase": "Running",
        "startTime": now,
        "conditions": [
            {"type": each, "status": "True", "lastTransitionTime": now}
            for each in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
        ],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": now}},
            }
            for container in pod["spec"]["containers"]
        ],
    }
