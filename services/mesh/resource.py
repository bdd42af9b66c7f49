"""Who this process is, in traces and metrics: OpenTelemetry's resource."""

from __future__ import annotations

import importlib.metadata
import os
import uuid
from functools import cache

from opentelemetry.sdk.resources import OTELResourceDetector, Resource

_PACKAGE = "maas-mesh"
# Variables that a manifest fills from Kubernetes' downward API.
KUBERNETES = {
    "K8S_CLUSTER_NAME": "k8s.cluster.name",
    "K8S_NAMESPACE_NAME": "k8s.namespace.name",
    "K8S_DEPLOYMENT_NAME": "k8s.deployment.name",
    "K8S_NODE_NAME": "k8s.node.name",
    "K8S_POD_NAME": "k8s.pod.name",
    "K8S_POD_UID": "k8s.pod.uid",
    "K8S_CONTAINER_NAME": "k8s.container.name",
}


def resource(service: str) -> Resource:
    """What every span and metric of this process says of it. service: one word, its `service.name`.

    Version and instance, and the place in Kubernetes where the K8S_* variables tell it. OTEL_RESOURCE_ATTRIBUTES adds
    to these, and says better what it names as well; only the name stays ours.
    """
    found = {name: os.environ[variable] for variable, name in KUBERNETES.items() if os.environ.get(variable)}
    ours = Resource({"service.instance.id": _instance(), **_version(), **found})
    given = OTELResourceDetector().detect()
    return Resource.create().merge(ours).merge(given).merge(Resource({"service.name": service}))


@cache
def _instance() -> str:
    """The pod, whose name is unique, or a word of this process's own."""
    pod = os.environ.get("K8S_POD_NAME", "")
    return ".".join(filter(None, (os.environ.get("K8S_NAMESPACE_NAME"), pod))) if pod else str(uuid.uuid4())


@cache
def _version() -> dict[str, str]:
    try:
        return {"service.version": importlib.metadata.version(_PACKAGE)}
    except importlib.metadata.PackageNotFoundError:  # run from its folder, without having been installed
        return {}
