"""Pod Security `restricted`, rule by rule, and what it leaves out: a root file system that cannot be written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deploy.k8s.checks.rendering import NAMESPACE, Document, Problem, Rendering, Workload, at, reference

_VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
_SECCOMP = frozenset({"RuntimeDefault", "Localhost"})
_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
_HANDLERS = (
    ("startupProbe",),
    ("readinessProbe",),
    ("livenessProbe",),
    ("lifecycle", "postStart"),
    ("lifecycle", "preStop"),
)
_MODES = ("enforce", "audit", "warn")


def namespace_labels(rendering: Rendering) -> Iterator[Problem]:
    """The namespace itself enforces `restricted`, so that nothing weaker can be added later."""
    namespace = rendering.find("Namespace", NAMESPACE)
    if namespace is None:
        yield Problem(f"Namespace/{NAMESPACE}", "is not there: render it, with the labels of Pod Security")
        return
    for mode in _MODES:
        if at(namespace, "metadata", "labels").get(f"pod-security.kubernetes.io/{mode}") != "restricted":
            yield Problem(
                reference(namespace), f"does not {mode} restricted: add the label pod-security.kubernetes.io/{mode}"
            )


def pod_security(rendering: Rendering) -> Iterator[Problem]:
    """Every rule of the Pod Security Standard `restricted`, and of `baseline`, which it contains."""
    for workload in rendering.workloads:
        for text in _pod(workload.pod):
            yield Problem(workload.reference, text)
        for container in workload.all_containers:
            for text in _container(container, at(workload.pod, "securityContext")):
                yield Problem(workload.where(container), text)


def _pod(pod: Document) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield f"uses {field}: remove it"
    for volume in pod.get("volumes", []):
        for kind in sorted(set(volume) - {"name"} - _VOLUMES):
            yield f"volume {volume.get('name')!r} is of type {kind}: restricted pods may not have it"
    context = at(pod, "securityContext")
    for sysctl in context.get("sysctls", []):
        if sysctl.get("name") not in _SYSCTLS:
            yield f"sets sysctl {sysctl.get('name')!r}, which is not a safe one: remove it"
    yield from _user(context)
    yield from _confinement(context)


def _container(container: Document, pod: Document) -> Iterator[str]:
    context = at(container, "securityContext")
    yield from _privileges(context)
    if _inherited(context, pod, "runAsNonRoot") is not True:
        yield "may run as root: set runAsNonRoot: true"
    if at(_inherited(context, pod, "seccompProfile")).get("type") not in _SECCOMP:
        yield "has no seccomp profile: set seccompProfile.type: RuntimeDefault"
    yield from _user(context)
    yield from _confinement(context)
    for port in container.get("ports", []):
        if port.get("hostPort"):
            yield f"takes port {port['hostPort']} of its node: remove hostPort"
    for where in _HANDLERS:
        handler = at(container, *where)
        if at(handler, "httpGet").get("host") or at(handler, "tcpSocket").get("host"):
            yield f"{where[-1]} asks another host: remove host"


def _privileges(context: Document) -> Iterator[str]:
    if context.get("privileged"):
        yield "is privileged: remove it"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "may gain privileges: set allowPrivilegeEscalation: false"
    capabilities = at(context, "capabilities")
    if "ALL" not in capabilities.get("drop", []):
        yield "keeps capabilities: drop ALL"
    for added in capabilities.get("add", []):
        if added != "NET_BIND_SERVICE":
            yield f"adds capability {added}: remove it"
    if context.get("procMount", "Default") != "Default":
        yield "sets procMount: remove it"


def _inherited(context: Document, pod: Document, field: str) -> Any:
    return context.get(field, pod.get(field))


def _user(context: Document) -> Iterator[str]:
    if context.get("runAsUser") == 0:
        yield "runs as user 0, which is root: take another"


def _confinement(context: Document) -> Iterator[str]:
    if at(context, "appArmorProfile").get("type", "RuntimeDefault") not in _SECCOMP:
        yield "switches AppArmor off: remove appArmorProfile"
    selinux = at(context, "seLinuxOptions")
    if selinux.get("user") or selinux.get("role"):
        yield "sets an SELinux user or role: remove it"
    if selinux.get("type", "") not in {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}:
        yield f"sets SELinux type {selinux['type']!r}: remove it"
    if at(context, "windowsOptions").get("hostProcess"):
        yield "is a process of its host: remove hostProcess"


def read_only_root(rendering: Rendering) -> Iterator[Problem]:
    """No container can write its image's files; what it must write lies in volumes with a limit."""
    for workload in rendering.workloads:
        for container in workload.all_containers:
            if at(container, "securityContext").get("readOnlyRootFilesystem") is not True:
                yield Problem(workload.where(container), "can write its root: set readOnlyRootFilesystem: true")
        yield from _unlimited(workload)


def _unlimited(workload: Workload) -> Iterator[Problem]:
    for volume in workload.pod.get("volumes", []):
        if "emptyDir" in volume and "sizeLimit" not in at(volume, "emptyDir"):
            yield Problem(workload.reference, f"emptyDir {volume.get('name')!r} may fill its node: set sizeLimit")


def numeric_users(rendering: Rendering) -> Iterator[Problem]:
    """Every container has a number for its user: with a name in the image alone, runAsNonRoot cannot be verified."""
    for workload in rendering.workloads:
        pod = at(workload.pod, "securityContext")
        for container in workload.all_containers:
            if not _inherited(at(container, "securityContext"), pod, "runAsUser"):
                yield Problem(workload.where(container), "has no runAsUser: the kubelet cannot verify runAsNonRoot")
