"""All checks, and how they are run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from deploy.k8s.checks import (
    bounds,
    containers,
    files,
    labels,
    network,
    ports,
    rbac,
    references,
    scaling,
    schemas,
    security,
    settings,
    shutdown,
    values,
)
from deploy.k8s.checks.rendering import Problem, Rendering

Check = Callable[[Rendering], Iterator[Problem]]

CHECKS: tuple[Check, ...] = (
    schemas.schema,
    labels.duplicates,
    labels.namespaces,
    labels.names,
    labels.workload_selectors,
    labels.service_selectors,
    labels.disruption_selectors,
    labels.policy_selectors,
    labels.monitor_selectors,
    labels.own_selectors,
    ports.container_ports,
    ports.service_ports,
    ports.load_balancers,
    ports.probe_ports,
    ports.policy_ports,
    ports.monitor_ports,
    ports.routes,
    network.addresses,
    network.default_deny,
    network.reachable,
    network.closed,
    scaling.scalers,
    scaling.scaled_replicas,
    scaling.scaling_metrics,
    scaling.disruption_budgets,
    scaling.rollouts,
    scaling.spread,
    scaling.stable_names,
    references.references,
    files.sub_paths,
    files.arguments,
    references.objects,
    references.certificates,
    references.unread,
    settings.variables,
    settings.required_variables,
    settings.variable_values,
    settings.paths,
    settings.listening,
    settings.backends,
    settings.service_links,
    bounds.bounds,
    containers.probes,
    containers.probe_services,
    containers.resources,
    containers.images,
    containers.mounts,
    security.namespace_labels,
    security.pod_security,
    security.read_only_root,
    security.numeric_users,
    rbac.least_privilege,
    rbac.bindings,
    rbac.tokens,
    shutdown.shutdown,
    values.words,
    values.quantities,
    values.sizes,
)


@dataclass(frozen=True)
class Finding:
    """A problem, and who found it where.

    check: name of the check's function.  renderings: names of those that have it.
    """

    check: str
    problem: Problem
    renderings: tuple[str, ...]


def run(renderings: Iterable[Rendering], checks: Iterable[Check] = CHECKS) -> list[Finding]:
    """What all checks find; what several renderings have in common stands once."""
    found: dict[tuple[str, Problem], list[str]] = {}
    named = tuple(checks)
    for rendering in renderings:
        for check in named:
            for problem in check(rendering):
                where = found.setdefault((check.__name__, problem), [])
                if rendering.name not in where:
                    where.append(rendering.name)
    return [Finding(check, problem, tuple(where)) for (check, problem), where in found.items()]
