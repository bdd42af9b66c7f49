"""Values that schemas take for any string: quantities, and words of which only some are known."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from deploy.k8s.checks.quantities import parse
from deploy.k8s.checks.rendering import Problem, Rendering, reference

# The last keys of a path -> the words that the API server takes there. "*" is any key or index.
_WORDS: Mapping[tuple[str, ...], frozenset[str]] = {
    tuple(path.split(".")): frozenset(words.split())
    for path, words in {
        "imagePullPolicy": "Always IfNotPresent Never",
        "pullPolicy": "Always IfNotPresent Never",
        "template.spec.restartPolicy": "Always OnFailure Never",
        "initContainers.*.restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst ClusterFirstWithHostNet Default None",
        "ports.*.protocol": "TCP UDP SCTP",
        "terminationMessagePolicy": "File FallbackToLogsOnError",
        "seccompProfile.type": "RuntimeDefault Localhost Unconfined",
        "httpGet.scheme": "HTTP HTTPS",
        "fsGroupChangePolicy": "Always OnRootMismatch",
        "tolerations.*.operator": "Exists Equal Lt Gt",
        "tolerations.*.effect": "NoSchedule PreferNoSchedule NoExecute",
        "matchExpressions.*.operator": "In NotIn Exists DoesNotExist Gt Lt",
        "topologySpreadConstraints.*.whenUnsatisfiable": "DoNotSchedule ScheduleAnyway",
        "nodeAffinityPolicy": "Honor Ignore",
        "nodeTaintsPolicy": "Honor Ignore",
        "emptyDir.medium": "Memory",
        "strategy.type": "RollingUpdate Recreate",
        "updateStrategy.type": "RollingUpdate OnDelete",
        "podManagementPolicy": "OrderedReady Parallel",
        "accessModes.*": "ReadWriteOnce ReadOnlyMany ReadWriteMany ReadWriteOncePod",
        "volumeMode": "Filesystem Block",
        "unhealthyPodEvictionPolicy": "IfHealthyBudget AlwaysAllow",
        "policyTypes.*": "Ingress Egress",
        "preemptionPolicy": "PreemptLowerPriority Never",
        "externalTrafficPolicy": "Cluster Local",
        "internalTrafficPolicy": "Cluster Local",
        "trafficDistribution": "PreferClose PreferSameZone PreferSameNode",
        "sessionAffinity": "ClientIP None",
        "ipFamilyPolicy": "SingleStack PreferDualStack RequireDualStack",
        "selectPolicy": "Max Min Disabled",
        "policies.*.type": "Pods Percent",
        "metrics.*.type": "Resource ContainerResource Pods Object External",
        "metrics.*.*.target.type": "Utilization Value AverageValue",
        "subjects.*.kind": "ServiceAccount User Group",
        "concurrencyPolicy": "Allow Forbid Replace",
    }.items()
}
_BY_LAST: dict[str, list[tuple[tuple[str, ...], frozenset[str]]]] = {}
for _path, _known in _WORDS.items():
    _BY_LAST.setdefault(_path[-1], []).append((_path, _known))
_SERVICE_TYPES = frozenset({"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"})
_SECRET_TYPES = frozenset({"Opaque", "kubernetes.io/tls", "kubernetes.io/dockerconfigjson", "kubernetes.io/basic-auth"})
# Below these keys every value is a quantity.
_QUANTITIES = ("limits", "requests", "hard", "capacity")
# Of all annotations of an object together; a little is left for others than kubectl's.
_ANNOTATION_BYTES = 256 * 1024 - 2048
_SINGLE_QUANTITIES = ("sizeLimit", "averageValue")


def words(rendering: Rendering) -> Iterator[Problem]:
    """Where Kubernetes knows some words only, one of these stands: IfNotPresent and not IfNotPreset."""
    for document in rendering.documents:
        if "." in document.get("apiVersion", "").partition("/")[0].replace(".k8s.io", ""):
            continue  # a custom resource, whose schema has its words
        for path, value in _walk(document):
            for pattern, known in _BY_LAST.get("*" if path[-1].isdecimal() else path[-1], []):
                if _ends(path, pattern) and value not in known:
                    yield Problem(
                        reference(document), f"{'.'.join(path)} is {value!r}: one of {', '.join(sorted(known))}"
                    )
        for kind, types, where in (("Service", _SERVICE_TYPES, "spec.type"), ("Secret", _SECRET_TYPES, "type")):
            if document.get("kind") == kind:
                value = dict(_walk(document)).get(tuple(where.split(".")))
                if value is not None and value not in types:
                    yield Problem(reference(document), f"{where} is {value!r}: one of {', '.join(sorted(types))}")


def quantities(rendering: Rendering) -> Iterator[Problem]:
    """Amounts of processor, memory and the like are such that Kubernetes can read them, and none is negative."""
    for document in rendering.documents:
        for path, value in _walk(document):
            if (len(path) > 1 and path[-2] in _QUANTITIES) or path[-1] in _SINGLE_QUANTITIES:
                try:
                    amount = parse(value)
                except ValueError as error:
                    yield Problem(reference(document), f"{'.'.join(path)}: {error}")
                else:
                    if amount < 0:
                        yield Problem(reference(document), f"{'.'.join(path)} is {value}: it cannot be below zero")


def sizes(rendering: Rendering) -> Iterator[Problem]:
    """An object fits into the annotation in which `kubectl apply` keeps what it applied."""
    for document in rendering.documents:
        size = len(json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode())
        if size > _ANNOTATION_BYTES:
            yield Problem(
                reference(document), f"has {size} bytes, and kubectl apply takes {_ANNOTATION_BYTES}: split it"
            )


def _walk(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every scalar with the keys that lead to it."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _walk(each, (*path, str(key)))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _walk(each, (*path, str(index)))
    else:
        yield path, value


def _ends(path: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    tail = path[-len(pattern) :]
    return len(tail) == len(pattern) and all(wanted in ("*", key) for wanted, key in zip(pattern, tail, strict=True))
