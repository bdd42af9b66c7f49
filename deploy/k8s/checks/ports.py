"""Ports: whoever names one names one that is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from deploy.k8s.checks.labels import monitored_services
from deploy.k8s.checks.rendering import Document, Problem, Rendering, Workload, at, reference

# The ports of each part of the mesh by the names that everybody uses.
AGREED: Mapping[str, Mapping[str, int]] = {
    "service": {"grpc": 8000, "metrics": 9090},
    "model-server": {"http": 8000, "grpc": 8001, "metrics": 8002},
    "gateway": {"public": 8080, "admin": 9901},
}
_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def container_ports(rendering: Rendering) -> Iterator[Problem]:
    """Each part of the mesh has its ports under their agreed names, and no two containers of a pod want the same."""
    for workload in rendering.workloads:
        ports = workload.ports()
        for port, number in AGREED.get(workload.component, {}).items():
            # With TLS the public port is another one.
            allowed = (number, 8443) if port == "public" else (number,)
            if ports.get(port) not in allowed:
                yield Problem(workload.reference, f"port {port!r} is {ports.get(port)}: it should be {number}")
        taken = [
            (port.get("containerPort"), port.get("protocol", "TCP"))
            for container in workload.containers
            for port in container.get("ports", [])
        ]
        for number, protocol in sorted({each for each in taken if taken.count(each) > 1}):
            yield Problem(
                workload.reference, f"port {number}/{protocol} stands twice in its pod: containers share one address"
            )


def service_ports(rendering: Rendering) -> Iterator[Problem]:
    """A Service leads to ports that its pods have; a headless one cannot translate numbers."""
    for service in rendering.of("Service"):
        spec = at(service, "spec")
        for workload in rendering.selected({"matchLabels": spec["selector"]} if spec.get("selector") else None):
            for port in spec.get("ports") or []:
                target = port.get("targetPort", port.get("port"))
                if not workload.has_port(target):
                    yield Problem(
                        reference(service),
                        f"targetPort {target!r} is no port of {workload.reference}: name one of its ports",
                    )
                elif spec.get("clusterIP") == "None" and workload.ports().get(target, target) != port.get("port"):
                    yield Problem(
                        reference(service),
                        f"is headless, so callers of port {port.get('port')} reach the pod itself, which listens on "
                        f"{workload.ports().get(target, target)}: make the numbers equal",
                    )


def load_balancers(rendering: Rendering) -> Iterator[Problem]:
    """A public Service says of no port that it is HTTP: Azure's load balancers then probe it with GET /."""
    for service in rendering.of("Service"):
        for port in at(service, "spec").get("ports") or []:
            if at(service, "spec").get("type") == "LoadBalancer" and port.get("appProtocol") in {"http", "https"}:
                yield Problem(
                    reference(service),
                    f"appProtocol {port['appProtocol']} lets Azure ask for /, which is no page here: take it away",
                )


def probe_ports(rendering: Rendering) -> Iterator[Problem]:
    """Probes and hooks ask ports that their container has."""
    for workload in rendering.workloads:
        for container in workload.all_containers:
            own = {each.get("name"): each.get("containerPort") for each in container.get("ports", [])}
            for where, port in _asked(container):
                if port not in own and port not in own.values():
                    yield Problem(
                        workload.where(container),
                        f"{where} asks port {port!r}, which the container has not",
                    )


def _asked(container: Document) -> Iterator[tuple[str, Any]]:
    handlers = [(probe, at(container, probe)) for probe in _PROBES]
    handlers += [(hook, at(container, "lifecycle", hook)) for hook in ("postStart", "preStop")]
    for where, handler in handlers:
        for action in ("grpc", "httpGet", "tcpSocket"):
            if action in handler:
                yield where, handler[action].get("port")


def policy_ports(rendering: Rendering) -> Iterator[Problem]:
    """A NetworkPolicy opens ports that the pods behind them have."""
    for policy in rendering.of("NetworkPolicy"):
        own = rendering.selected(at(policy, "spec", "podSelector"))
        for rule in at(policy, "spec", "ingress") or []:
            yield from _closed(policy, "ingress", rule, own)
        for rule in at(policy, "spec", "egress") or []:
            peers = rule.get("to") or []
            if peers and all("podSelector" in peer and "namespaceSelector" not in peer for peer in peers):
                for peer in peers:
                    yield from _closed(policy, "egress", rule, rendering.selected(peer["podSelector"]))


def _closed(policy: Document, direction: str, rule: Document, behind: list[Workload]) -> Iterator[Problem]:
    for port in rule.get("ports") or []:
        number = port.get("port")
        if number is not None and behind and not any(each.has_port(number) for each in behind):
            found = ", ".join(each.reference for each in behind)
            yield Problem(reference(policy), f"{direction} port {number!r} is no port of {found}: name one that it has")


def monitor_ports(rendering: Rendering) -> Iterator[Problem]:
    """Monitors scrape ports that are there."""
    for monitor in rendering.of("ServiceMonitor"):
        for service in monitored_services(rendering, monitor):
            have = {port.get("name") for port in at(service, "spec", "ports") or []}
            for endpoint in at(monitor, "spec", "endpoints") or []:
                if endpoint.get("port") not in have:
                    yield Problem(
                        reference(monitor), f"scrapes port {endpoint.get('port')!r}, which {reference(service)} has not"
                    )
    for monitor in rendering.of("PodMonitor"):
        for workload in rendering.selected(at(monitor, "spec", "selector")):
            for endpoint in at(monitor, "spec", "podMetricsEndpoints") or []:
                if endpoint.get("port") not in workload.ports():
                    yield Problem(
                        reference(monitor), f"scrapes port {endpoint.get('port')!r}, which {workload.reference} has not"
                    )


def routes(rendering: Rendering) -> Iterator[Problem]:
    """Routes of the Gateway API and Ingresses lead to Services and ports that are there."""
    for route in rendering.of("GRPCRoute", "HTTPRoute"):
        for rule in at(route, "spec", "rules") or []:
            for backend in rule.get("backendRefs") or []:
                if not has_service_port(rendering, backend.get("name"), backend.get("port")):
                    yield Problem(
                        reference(route),
                        f"leads to port {backend.get('port')} of Service {backend.get('name')}, which is not there",
                    )
        for parent in at(route, "spec", "parentRefs") or []:
            yield from _no_listener(rendering, route, parent)


def _no_listener(rendering: Rendering, route: Document, parent: Document) -> Iterator[Problem]:
    gateway = rendering.find("Gateway", parent["name"])
    if gateway is None:
        yield Problem(reference(route), f"its parent Gateway {parent['name']!r} is not there: name one that is")
    elif "sectionName" in parent:
        listeners = [each.get("name") for each in at(gateway, "spec", "listeners") or []]
        if parent["sectionName"] not in listeners:
            yield Problem(
                reference(route), f"listener {parent['sectionName']!r} is none of {listeners}: name one of them"
            )


def has_service_port(rendering: Rendering, service: str, port: int) -> bool:
    """Whether a Service has a port of this number."""
    found = rendering.find("Service", service)
    return found is not None and any(each.get("port") == port for each in at(found, "spec", "ports") or [])
