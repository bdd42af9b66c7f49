"""How many replicas there are, who changes that, and what may be taken away at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import ceil, floor

from deploy.k8s.checks.rendering import SCALED, Document, Problem, Rendering, Workload, at, name, reference

_DEFAULT_SURGE = "25%"


def scalers(rendering: Rendering) -> Iterator[Problem]:
    """An autoscaler has a target that is there, that no other one scales, and a range that is one."""
    targets: Counter[str] = Counter()
    for scaler in rendering.of("HorizontalPodAutoscaler", "ScaledObject"):
        target = at(scaler, "spec", "scaleTargetRef")
        what = f"{target.get('kind', 'Deployment')}/{target.get('name')}"
        targets[what] += 1
        if what not in {workload.reference for workload in rendering.workloads}:
            yield Problem(reference(scaler), f"scales {what}, which is not there: correct scaleTargetRef")
        least, most = scale_range(scaler)
        if not 1 <= least <= most:
            yield Problem(
                reference(scaler), f"scales between {least} and {most}: at least 1, and not more than the maximum"
            )
        if scaler["kind"] == "ScaledObject" and at(scaler, "spec", "fallback").get("replicas", least) > most:
            yield Problem(reference(scaler), "its fallback has more replicas than its maximum: lower it")
    for what, count in targets.items():
        if count > 1:
            yield Problem(what, f"has {count} autoscalers, which would fight: keep one")


def scale_range(scaler: Document) -> tuple[int, int]:
    """The fewest and the most replicas."""
    spec = at(scaler, "spec")
    if scaler["kind"] == "ScaledObject":
        return spec.get("minReplicaCount", 0), spec.get("maxReplicaCount", 100)
    return spec.get("minReplicas", 1), spec.get("maxReplicas", 0)


def scaler_of(rendering: Rendering, workload: Workload) -> Document | None:
    """The autoscaler of a workload."""
    for scaler in rendering.of("HorizontalPodAutoscaler", "ScaledObject"):
        target = at(scaler, "spec", "scaleTargetRef")
        if f"{target.get('kind', 'Deployment')}/{target.get('name')}" == workload.reference:
            return scaler
    return None


def fewest_replicas(rendering: Rendering, workload: Workload) -> int:
    """As many replicas as there are when there is least to do."""
    scaler = scaler_of(rendering, workload)
    return scale_range(scaler)[0] if scaler else workload.replicas or 0


def scaled_replicas(rendering: Rendering) -> Iterator[Problem]:
    """What an autoscaler scales has no number of its own: each apply would set it back, in the middle of the load."""
    for workload in rendering.workloads:
        if scaler_of(rendering, workload) and "replicas" in at(workload.document, "spec"):
            yield Problem(workload.reference, "has replicas and an autoscaler: remove spec.replicas where it is scaled")


def scaling_metrics(rendering: Rendering) -> Iterator[Problem]:
    """What is scaled by its use of processor or memory requests some, of which the use is a part."""
    for scaler in rendering.of("HorizontalPodAutoscaler"):
        metrics = at(scaler, "spec").get("metrics") or []
        if not metrics:
            yield Problem(reference(scaler), "has no metrics: say by what it scales")
        for metric in metrics:
            resource = at(metric, "resource")
            if resource and at(resource, "target").get("type") == "Utilization":
                yield from _unrequested(rendering, scaler, str(resource.get("name")))


def _unrequested(rendering: Rendering, scaler: Document, resource: str) -> Iterator[Problem]:
    for workload in rendering.workloads:
        if workload.name == at(scaler, "spec", "scaleTargetRef").get("name"):
            for container in workload.containers:
                if resource not in at(container, "resources", "requests"):
                    yield Problem(
                        workload.where(container),
                        f"requests no {resource}, by which {reference(scaler)} scales it: set the request",
                    )


def disruption_budgets(rendering: Rendering) -> Iterator[Problem]:
    """A PodDisruptionBudget always lets a pod go, so that nodes can be drained, and what has replicas has one."""
    budgeted = set()
    for budget in rendering.of("PodDisruptionBudget"):
        spec = at(budget, "spec")
        given = [each for each in ("minAvailable", "maxUnavailable") if each in spec]
        if len(given) != 1:
            yield Problem(reference(budget), "needs minAvailable or maxUnavailable, one of them")
            continue
        for workload in rendering.selected(spec.get("selector")):
            budgeted.add(workload.reference)
            replicas = fewest_replicas(rendering, workload)
            amount = _amount(spec[given[0]], replicas, up=True)
            if (replicas - amount if given[0] == "minAvailable" else amount) < 1:
                yield Problem(
                    reference(budget),
                    f"{given[0]} {spec[given[0]]} of {replicas} replicas of {workload.reference} lets none go: "
                    "no node could be drained",
                )
    for workload in rendering.workloads:
        several = workload.document["kind"] in SCALED and fewest_replicas(rendering, workload) > 1
        if several and workload.reference not in budgeted:
            yield Problem(
                workload.reference, "has replicas and no PodDisruptionBudget: a drained node may take them all"
            )


def rollouts(rendering: Rendering) -> Iterator[Problem]:
    """A Deployment's rolling update can begin, and leaves what answers until its successor does."""
    for document in rendering.of("Deployment"):
        strategy = at(document, "spec", "strategy")
        if strategy.get("type") == "Recreate":
            continue
        rolling = at(strategy, "rollingUpdate")
        replicas = at(document, "spec").get("replicas", 1)
        surge = _amount(rolling.get("maxSurge", _DEFAULT_SURGE), replicas, up=True)
        away = _amount(rolling.get("maxUnavailable", _DEFAULT_SURGE), replicas, up=False)
        if surge == 0 and (away == 0 or _is_zero(rolling.get("maxUnavailable", _DEFAULT_SURGE))):
            yield Problem(
                reference(document), "may neither add a pod nor take one away: set maxSurge or maxUnavailable"
            )
        # Without room for a second one there is no other way than to let the only one go first.
        one_by_one = surge == 0 and away == 1
        if away >= replicas > 0 and not one_by_one:
            yield Problem(reference(document), f"may take all {replicas} pods away at once: lower maxUnavailable")


def _amount(value: object, replicas: int, *, up: bool) -> int:
    """Pods, of a number or a percentage."""
    text = str(value)
    if text.endswith("%"):
        share = replicas * int(text[:-1]) / 100
        return ceil(share) if up else floor(share)
    return int(text)


def _is_zero(value: object) -> bool:
    return str(value).rstrip("%") == "0"


def spread(rendering: Rendering) -> Iterator[Problem]:
    """Replicas are spread over nodes: one broken node must not take a service away."""
    for workload in rendering.workloads:
        if workload.document["kind"] not in SCALED or fewest_replicas(rendering, workload) <= 1:
            continue
        keys = {each.get("topologyKey") for each in workload.pod.get("topologySpreadConstraints", [])}
        if "kubernetes.io/hostname" not in keys:
            yield Problem(
                workload.reference, "has replicas that may share a node: add a topologySpreadConstraint by hostname"
            )


def stable_names(rendering: Rendering) -> Iterator[Problem]:
    """A StatefulSet has the headless Service that names its pods."""
    for document in rendering.of("StatefulSet"):
        service = rendering.find("Service", at(document, "spec").get("serviceName", ""))
        if service is None or at(service, "spec").get("clusterIP") != "None":
            yield Problem(reference(document), f"serviceName of {name(document)} is no headless Service: name one")
