"""Whether the API server knows what is to be applied, and lets the caller apply it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product

from services.cli.cluster.check.finding import Finding, State
from services.cli.cluster.check.manifests import Kind, Manifests
from services.cli.cluster.connection import Absent, Cluster, ClusterError, Object

# From which on pre-stop hooks may sleep, by default.
_OLDEST = (1, 30)
# What kubectl apply does to an object.
_VERBS = ("get", "create", "patch")
_AT_ONCE = 8
# Group of the API -> what brings it, and which component asks for it.
_BRINGS = {
    "monitoring.coreos.com": "the Prometheus Operator (component monitoring-operator)",
    "cert-manager.io": "cert-manager (component tls-cert-manager)",
    "keda.sh": "KEDA (component autoscaling-keda)",
    "gateway.networking.k8s.io": "the Gateway API (component gateway-api)",
}


def version(cluster: Cluster) -> Finding:
    """Of the API server. Raises ClusterError when none answers."""
    said = cluster.get("/version")
    found = tuple(int(re.sub(r"\D", "", said.get(part, "")) or 0) for part in ("major", "minor"))
    subject = f"API server {cluster.server}"
    if found < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        return Finding(subject, State.MISSING, f"is {said.get('gitVersion')}; the manifests need {oldest} or newer")
    return Finding(subject, State.OK, f"{said.get('gitVersion')}, context {cluster.context}")


def resources(cluster: Cluster, manifests: Manifests) -> dict[Kind, Object]:
    """The resource of each kind that the server knows: its name in paths, and whether it is namespaced."""
    found = {}
    for api_version in {kind.api_version for kind in manifests.kinds}:
        try:
            answer = cluster.get(f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}")
        except Absent:
            continue
        for each in answer.get("resources") or []:
            if "/" not in each["name"]:  # subresources
                found[Kind(api_version, each["kind"])] = each
    return {kind: found[kind] for kind in manifests.kinds if kind in found}


def kinds(manifests: Manifests, known: dict[Kind, Object]) -> Iterator[Finding]:
    """Those that the server does not know."""
    unknown = [kind for kind in manifests.kinds if kind not in known]
    for kind in unknown:
        brings = _BRINGS.get(kind.group)
        what = f"install {brings}, or leave that component out" if brings else "the cluster's version does not have it"
        yield Finding(f"kind {kind.name} ({kind.api_version})", State.MISSING, what)
    if not unknown:
        yield Finding("kinds", State.OK, f"all {len(manifests.kinds)} are known")


def metrics(cluster: Cluster, manifests: Manifests) -> Iterator[Finding]:
    """The metrics that autoscalers go by."""
    wanted = {each["type"] for scaler in manifests.of("HorizontalPodAutoscaler") for each in scaler["spec"]["metrics"]}
    served = {
        "Resource": ("metrics.k8s.io", "metrics-server"),
        "External": ("external.metrics.k8s.io", "KEDA or prometheus-adapter"),
    }
    for kind, (group, brings) in served.items():
        if kind not in wanted:
            continue
        try:
            cluster.get(f"/apis/{group}")
        except Absent:
            yield Finding(
                f"{kind.lower()} metrics",
                State.WARNING,
                f"nothing serves {group} ({brings} does): the autoscalers stand still",
            )
        else:
            yield Finding(f"{kind.lower()} metrics", State.OK, f"{group} is served")


def permissions(cluster: Cluster, known: dict[Kind, Object]) -> Iterator[Finding]:
    """Whether the caller may apply each kind, asked of the server itself."""
    asked = list(product(known.items(), _VERBS))

    def allowed(question: tuple[tuple[Kind, Object], str]) -> bool:
        (kind, resource), verb = question
        attributes = {"group": kind.group, "resource": resource["name"], "verb": verb}
        if resource.get("namespaced"):
            attributes["namespace"] = cluster.namespace
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = cluster.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        return bool((answer.get("status") or {}).get("allowed"))

    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            answers = list(pool.map(allowed, asked))
    except ClusterError as error:
        yield Finding("permissions", State.UNKNOWN, str(error))
        return
    denied: dict[str, list[str]] = {}
    for ((_, resource), verb), may in zip(asked, answers, strict=True):
        if not may:
            denied.setdefault(resource["name"], []).append(verb)
    for name, verbs in denied.items():
        yield Finding(f"permission for {name}", State.MISSING, f"you may not {', '.join(verbs)} them")
    if not denied:
        yield Finding("permissions", State.OK, f"you may apply all {len(known)} kinds")
