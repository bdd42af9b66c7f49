"""What is named by name is there: ConfigMaps, Secrets and their keys, claims, classes, issuers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deploy.k8s.checks.brought import BROUGHT
from deploy.k8s.checks.rendering import Document, Problem, Rendering, Workload, at, name, reference

# A Certificate's Secret has these.
_CERTIFICATE_KEYS = ("tls.crt", "tls.key", "ca.crt")
_SYSTEM_PRIORITIES = frozenset({"system-cluster-critical", "system-node-critical"})
# Read by others than our pods: side-cars of Grafana and Prometheus take ConfigMaps with these labels.
_READ_ELSEWHERE = frozenset({"grafana_dashboard", "prometheus_rules"})
_REMEDY = "render it, or list it in checks/brought.py and deploy/README.md"
_REFERENCES = (("configMap", "ConfigMap"), ("secret", "Secret"))


@dataclass(frozen=True)
class Use:
    """A ConfigMap or Secret that a pod names.

    key: of it; None for all its keys.
    where: in the pod, for people.
    """

    kind: str
    name: str
    key: str | None
    where: str
    optional: bool = False


def references(rendering: Rendering) -> Iterator[Problem]:
    """ConfigMaps, Secrets and their keys are rendered, or on the list of what the operator brings, or optional."""
    for workload in rendering.workloads:
        for use in uses(workload):
            keys = keys_of(rendering, use.kind, use.name)
            if keys is None and use.optional:
                continue
            if keys is None:
                yield Problem(
                    workload.reference, f"{use.where} needs {use.kind} {use.name!r}, which is not there: {_REMEDY}"
                )
            elif use.key is not None and use.key not in keys and not use.optional:
                have = ", ".join(sorted(keys)) or "none"
                yield Problem(
                    workload.reference, f"{use.where} needs key {use.key!r} of {use.kind} {use.name!r}: it has {have}"
                )


def keys_of(rendering: Rendering, kind: str, wanted: str) -> frozenset[str] | None:
    """The keys of a ConfigMap or Secret; None when nobody makes it."""
    if (kind, wanted) in BROUGHT:
        return frozenset(BROUGHT[kind, wanted].keys)
    found = rendering.find(kind, wanted)
    if found is not None:
        return frozenset(key for field in ("data", "stringData", "binaryData") for key in at(found, field))
    for certificate in rendering.of("Certificate") if kind == "Secret" else ():
        if at(certificate, "spec").get("secretName") == wanted:
            return frozenset(_CERTIFICATE_KEYS)
    return None


def uses(workload: Workload) -> Iterator[Use]:
    """Every ConfigMap and Secret that a workload's pods name."""
    for volume in workload.pod.get("volumes", []):
        where = f"volume {volume.get('name')!r}"
        for source in [volume, *at(volume, "projected").get("sources", [])]:
            for field, kind in _REFERENCES:
                if field in source:
                    named = "secretName" if source is volume and field == "secret" else "name"
                    yield from _items(source[field], kind, source[field].get(named, ""), where)
    for container in workload.all_containers:
        yield from _variables(container)
    for secret in workload.pod.get("imagePullSecrets", []):
        yield Use("Secret", secret.get("name", ""), None, "imagePullSecrets")


def _variables(container: Document) -> Iterator[Use]:
    where = f"container {container.get('name')!r}"
    for field, kind in _REFERENCES:
        for source in container.get("envFrom", []):
            ref = source.get(f"{field}Ref")
            if ref:
                yield Use(kind, ref.get("name", ""), None, where, bool(ref.get("optional")))
        for variable in container.get("env", []):
            ref = at(variable, "valueFrom").get(f"{field}KeyRef")
            if ref:
                yield Use(kind, ref.get("name", ""), ref.get("key"), where, bool(ref.get("optional")))


def _items(source: Document, kind: str, wanted: str, where: str) -> Iterator[Use]:
    optional = bool(source.get("optional"))
    yield Use(kind, wanted, None, where, optional)
    for item in source.get("items", []):
        yield Use(kind, wanted, item.get("key"), where, optional)


def objects(rendering: Rendering) -> Iterator[Problem]:
    """ServiceAccounts, claims and classes that pods name are there."""
    for workload in rendering.workloads:
        pod = workload.pod
        wanted: list[tuple[str, Any]] = [("ServiceAccount", pod.get("serviceAccountName", "default"))]
        wanted += [
            ("PersistentVolumeClaim", volume["persistentVolumeClaim"].get("claimName"))
            for volume in pod.get("volumes", [])
            if "persistentVolumeClaim" in volume
        ]
        if pod.get("priorityClassName") not in {None, *_SYSTEM_PRIORITIES}:
            wanted.append(("PriorityClass", pod["priorityClassName"]))
        if "runtimeClassName" in pod:
            wanted.append(("RuntimeClass", pod["runtimeClassName"]))
        for kind, each in wanted:
            if (kind, each) != ("ServiceAccount", "default"):  # `tokens` says what is wrong with that
                yield from _absent(rendering, workload.document, kind, each)


def certificates(rendering: Rendering) -> Iterator[Problem]:
    """Certificates have an issuer, and what shows them has their Secret."""
    for certificate in rendering.of("Certificate"):
        issuer = at(certificate, "spec", "issuerRef")
        yield from _absent(rendering, certificate, issuer.get("kind", "Issuer"), issuer.get("name"))
    for issuer in rendering.of("Issuer", "ClusterIssuer"):
        secret = at(issuer, "spec", "ca").get("secretName")
        if secret and keys_of(rendering, "Secret", secret) is None:
            yield Problem(reference(issuer), f"needs Secret {secret!r}, which nobody makes")
    for gateway in rendering.of("Gateway"):
        yield from _absent(rendering, gateway, "GatewayClass", at(gateway, "spec").get("gatewayClassName"))
        for listener in at(gateway, "spec", "listeners") or []:
            for shown in at(listener, "tls").get("certificateRefs", []):
                yield from _unnamed(rendering, listener.get("hostname", ""), shown.get("name", ""))
                if keys_of(rendering, "Secret", shown.get("name", "")) is None:
                    yield Problem(reference(gateway), f"needs Secret {shown.get('name')!r}, which nobody makes")


def _unnamed(rendering: Rendering, host: str, secret: str) -> Iterator[Problem]:
    wildcard = f"*.{host.partition('.')[2]}"
    for certificate in rendering.of("Certificate"):
        spec = at(certificate, "spec")
        if host and spec.get("secretName") == secret and not {host, wildcard} & set(spec.get("dnsNames") or []):
            yield Problem(reference(certificate), f"is shown for {host}, which it does not name: add it to dnsNames")


def _absent(rendering: Rendering, document: Document, kind: str, wanted: Any) -> Iterator[Problem]:
    if rendering.find(kind, str(wanted)) is None and (kind, str(wanted)) not in BROUGHT:
        yield Problem(
            reference(document),
            f"needs {kind} {wanted!r}, which is not there: {_REMEDY}",
        )


def unread(rendering: Rendering) -> Iterator[Problem]:
    """Every ConfigMap and Secret is read by a pod: one that is not was meant to be, under another name."""
    used = {(use.kind, use.name) for workload in rendering.workloads for use in uses(workload)}
    issued = {
        ("Secret", at(issuer, "spec", "ca").get("secretName")) for issuer in rendering.of("Issuer", "ClusterIssuer")
    }
    for document in rendering.of("ConfigMap", "Secret"):
        elsewhere = _READ_ELSEWHERE & at(document, "metadata", "labels").keys()
        if not elsewhere and (document["kind"], name(document)) not in used | issued:
            yield Problem(reference(document), "is read by no pod: mount it, or remove it")
