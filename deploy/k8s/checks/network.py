"""What NetworkPolicies let through: every call that the mesh makes, and little else."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from deploy.k8s.checks.environment import resolved
from deploy.k8s.checks.references import uses
from deploy.k8s.checks.rendering import NAMESPACE, Document, Problem, Rendering, Workload, at, reference, selects

_ADDRESS = re.compile(
    r"(?:dns:///|https?://)?(?P<host>[a-z][-a-z0-9]*)(?:\.(?:maas|svc)[-a-z0-9.]*)?:(?P<port>\d+)(?:/.*)?"
)
_DNS_PORT = 53
# Triton sends it spans on GPUs only; the policies are the same everywhere.
_CALLED_BY_SOME = frozenset({"collector"})
_NAMESPACE_NAME = "kubernetes.io/metadata.name"
# Bits of the prefix by IP version; a block with fewer names nobody in particular.
_NARROW_BITS = {4: 16, 6: 48}


@dataclass(frozen=True)
class Call:
    """Pods of one workload call a Service's port, and so these pods' port."""

    caller: Workload
    service: str
    port: int
    callee: Workload
    container_port: int


def calls(rendering: Rendering) -> Iterator[Call]:
    """Every call to a Service of the rendering whose address stands in an environment or in a mounted file."""
    for caller in rendering.workloads:
        found = set()
        for host, port in _addresses(rendering, caller):
            service = rendering.find("Service", host)
            if service is not None:
                found.add((host, port))
        for host, port in sorted(found):
            yield from _to(rendering, caller, host, port)


def _to(rendering: Rendering, caller: Workload, host: str, port: int) -> Iterator[Call]:
    spec = at(rendering.find("Service", host), "spec")
    for each in spec.get("ports") or []:
        if each.get("port") == port:
            target = each.get("targetPort", port)
            for callee in rendering.selected({"matchLabels": spec.get("selector") or {}}):
                number = callee.ports().get(target, target)
                if callee.reference != caller.reference and isinstance(number, int):
                    yield Call(caller, host, port, callee, number)


def addresses(rendering: Rendering) -> Iterator[Problem]:
    """An address of a Service of the mesh names a port that it has."""
    for caller in rendering.workloads:
        for host, port in sorted(set(_addresses(rendering, caller))):
            service = rendering.find("Service", host)
            if service is not None and port not in [each.get("port") for each in at(service, "spec", "ports") or []]:
                yield Problem(
                    caller.reference, f"calls {host}:{port}, a port that Service {host!r} has not: correct it"
                )


def _addresses(rendering: Rendering, workload: Workload) -> Iterator[tuple[str, int]]:
    for container in workload.all_containers:
        for value in resolved(rendering, container).values():
            yield from _address(value)
        for argument in [*container.get("command", []), *container.get("args", [])]:
            yield from _address(str(argument).rpartition("=")[2])
    for use in uses(workload):
        found = rendering.find("ConfigMap", use.name) if use.kind == "ConfigMap" else None
        for text in at(found or {}, "data").values():
            yield from _in_file(text)


def _address(value: str | None) -> Iterator[tuple[str, int]]:
    match = _ADDRESS.fullmatch(value or "")
    if match:
        yield match["host"], int(match["port"])


@cache  # most renderings have the same gateway, whose configuration is long
def _in_file(text: str) -> frozenset[tuple[str, int]]:
    """Addresses in a file of YAML or JSON: "host:port", or Envoy's address and port_value."""
    try:
        documents = list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError:
        return frozenset()
    return frozenset(_in_values(documents))


def _in_values(values: list[Any]) -> Iterator[tuple[str, int]]:
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("port_value"), int) and isinstance(value.get("address"), str):
                yield from _address(f"{value['address']}:{value['port_value']}")
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str):
            yield from _address(value)


def default_deny(rendering: Rendering) -> Iterator[Problem]:
    """Where there are NetworkPolicies, one denies every pod everything, and the others are exceptions."""
    policies = list(rendering.of("NetworkPolicy"))
    if policies and not any(
        at(policy, "spec").get("podSelector") == {}
        and set(at(policy, "spec").get("policyTypes", [])) == {"Ingress", "Egress"}
        and not at(policy, "spec", "ingress")
        and not at(policy, "spec", "egress")
        for policy in policies
    ):
        yield Problem(
            "NetworkPolicy/default-deny", "is not there: select every pod, both directions, and allow nothing"
        )


def reachable(rendering: Rendering) -> Iterator[Problem]:
    """The policies let every call through that the mesh makes, and the question for the address before it."""
    for call in calls(rendering):
        for workload, direction, peer in ((call.caller, "Egress", call.callee), (call.callee, "Ingress", call.caller)):
            if not allows(rendering, workload, direction, peer, call.container_port):
                yield Problem(
                    workload.reference,
                    f"no NetworkPolicy allows its {direction.lower()} for {call.caller.name} to "
                    f"{call.service}:{call.port} (pods' port {call.container_port}): add it",
                )
        if not allows(rendering, call.caller, "Egress", None, _DNS_PORT):
            yield Problem(call.caller.reference, "no NetworkPolicy allows it DNS (port 53): it finds nobody without")


def closed(rendering: Rendering) -> Iterator[Problem]:
    """Only the gateway is public, only services reach Triton, and nobody reaches what nobody calls."""
    for service in rendering.of("Service"):
        public = at(service, "spec").get("type", "ClusterIP") in {"NodePort", "LoadBalancer"}
        behind = rendering.selected({"matchLabels": at(service, "spec").get("selector") or {}})
        if public and any(each.component != "gateway" for each in behind):
            yield Problem(reference(service), "is public: only the gateway is; make it a ClusterIP")
    expected = {(call.caller.name, call.callee.name) for call in calls(rendering)}
    for policy in rendering.of("NetworkPolicy"):
        for workload in rendering.selected(at(policy, "spec", "podSelector")):
            for rule in at(policy, "spec", "ingress") or []:
                yield from _too_open(rendering, policy, workload, rule, expected)


def _too_open(
    rendering: Rendering, policy: Document, workload: Workload, rule: Document, expected: set[tuple[str, str]]
) -> Iterator[Problem]:
    ports = {each.get("port") for each in rule.get("ports") or []}
    for peer in rule.get("from") or [{}]:
        anywhere = not peer or _is_wide(peer.get("ipBlock")) or peer.get("namespaceSelector") == {}
        watched = "namespaceSelector" in peer and ports <= {"metrics", "admin", *_metrics(workload)}
        if anywhere and workload.component != "gateway" and not (watched and ports):
            yield Problem(reference(policy), f"opens {workload.reference} to everybody: name who calls it")
        if "podSelector" in peer and "namespaceSelector" not in peer:
            for caller in rendering.selected(peer["podSelector"]):
                scrapes = caller.component == "observability" and ports <= {"metrics", "admin", *_metrics(workload)}
                called = (caller.name, workload.name) in expected or workload.name in _CALLED_BY_SOME
                if caller.name != workload.name and not called and not scrapes:
                    yield Problem(
                        reference(policy), f"opens {workload.reference} to {caller.reference}, which never calls it"
                    )


def _is_wide(block: Document | None) -> bool:
    if block is None:
        return False
    try:
        network = ipaddress.ip_network(block.get("cidr", ""), strict=False)
    except ValueError:
        return True
    return network.prefixlen < _NARROW_BITS[network.version]


def _metrics(workload: Workload) -> set[int]:
    return {number for port, number in workload.ports().items() if port in {"metrics", "admin"}}


def allows(rendering: Rendering, workload: Workload, direction: str, peer: Workload | None, port: int) -> bool:
    """Whether the policies let a workload's pods receive from (Ingress) or send to (Egress) a peer, by the pods' port.

    peer: None for anybody outside of the mesh.
    """
    applying = [
        policy
        for policy in rendering.of("NetworkPolicy")
        if selects(at(policy, "spec", "podSelector"), workload.labels) and direction in _types(policy)
    ]
    if not applying:
        return True
    field, side = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    listening = workload if direction == "Ingress" else peer
    return any(
        _peers(rule.get(side), peer) and _ports(rule.get("ports"), port, listening)
        for policy in applying
        for rule in at(policy, "spec", field) or []
    )


def _types(policy: Document) -> list[str]:
    given: list[str] = at(policy, "spec").get("policyTypes", [])
    return given or ["Ingress", *(["Egress"] if "egress" in at(policy, "spec") else [])]


def _peers(peers: list[Document] | None, peer: Workload | None) -> bool:
    if not peers:
        return True
    for each in peers:
        space = each.get("namespaceSelector")
        if peer is None:
            if space is not None or "ipBlock" in each:
                return True
        elif "podSelector" in each or space is not None:
            inside = space is None or selects(space, {_NAMESPACE_NAME: NAMESPACE})
            if inside and selects(each.get("podSelector") or {}, peer.labels):
                return True
    return False


def _ports(ports: list[Document] | None, port: int, listening: Workload | None) -> bool:
    if not ports:
        return True
    named = listening.ports() if listening else {}
    return any(
        each.get("port") is None
        or named.get(each["port"], each["port"]) == port
        or (isinstance(each["port"], int) and each["port"] <= port <= each.get("endPort", each["port"]))
        for each in ports
    )
