"""What every container has: probes, requests and limits, a pinned image."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deploy.k8s.checks.quantities import parse
from deploy.k8s.checks.rendering import Problem, Rendering, at
from deploy.local.processes import SERVICES
from services.mesh.server import LIVENESS

_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_HANDLERS = ("grpc", "httpGet", "tcpSocket", "exec")
OWN_IMAGES = "maas-mesh/"
_IMAGE = re.compile(r"(?P<name>[^@]+?)(:(?P<tag>[\w][\w.-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?")
# As long as the slowest start may take: a language model that is read from a volume for the first time.
_LONGEST_START_SECONDS = 1800


def probes(rendering: Rendering) -> Iterator[Problem]:
    """Every container tells when it has started, whether it can answer and whether it lives, and these differ.

    A service whose readiness follows the models in Triton must not be killed for it: its liveness asks something else.
    """
    for workload in rendering.workloads:
        if workload.document["kind"] in {"Job", "CronJob"}:
            continue
        for container in workload.containers:
            what = workload.where(container)
            for probe in _PROBES:
                handlers = [each for each in _HANDLERS if each in at(container, probe)]
                if len(handlers) != 1:
                    yield Problem(what, f"has no {probe} of one kind ({', '.join(_HANDLERS)}): add it")
            ready, alive = ({each: at(container, probe).get(each) for each in _HANDLERS} for probe in _PROBES[1:])
            follows_models = workload.component in {"service", "model-server"}
            if follows_models and ready == alive and any(ready.values()):
                yield Problem(
                    what, "its liveness is its readiness, so that it is killed while Triton is away: ask another"
                )
            period = at(container, "startupProbe").get("periodSeconds", 10)
            budget = period * at(container, "startupProbe").get("failureThreshold", 3)
            if at(container, "startupProbe") and not period < budget <= _LONGEST_START_SECONDS:
                yield Problem(
                    what,
                    f"may take {budget} s to start: give startupProbe a failureThreshold above 1, up to half an hour",
                )


def resources(rendering: Rendering) -> Iterator[Problem]:
    """Every container requests processor and memory, and has a limit of both that is not below the request."""
    for workload in rendering.workloads:
        for container in workload.all_containers:
            what = workload.where(container)
            given = at(container, "resources")
            for kind in ("requests", "limits"):
                for resource in ("cpu", "memory"):
                    if resource not in at(given, kind):
                        yield Problem(what, f"has no {resource} in resources.{kind}: set it")
            for resource, limit in at(given, "limits").items():
                requested = at(given, "requests").get(resource, limit)
                if _is_quantity(limit) and _is_quantity(requested):
                    if parse(requested) > parse(limit):
                        yield Problem(what, f"requests {requested} of {resource} and may have {limit}: raise the limit")
                    if "/" in resource and parse(requested) != parse(limit):
                        yield Problem(
                            what, f"requests {requested} of {resource} and may have {limit}: devices must be equal"
                        )


def _is_quantity(value: object) -> bool:
    try:
        parse(value)
    except ValueError:
        return False
    return True


def images(rendering: Rendering) -> Iterator[Problem]:
    """Every image has a tag, never `latest`; where images must be pinned, a digest too."""
    for workload in rendering.workloads:
        for container in workload.all_containers:
            what = workload.where(container)
            yield from _image(rendering, what, container.get("image", ""))
        for volume in workload.pod.get("volumes", []):
            if "image" in volume:
                yield from _image(rendering, workload.reference, at(volume, "image").get("reference", ""))


def _image(rendering: Rendering, what: str, image: str) -> Iterator[Problem]:
    match = _IMAGE.fullmatch(image)
    tag = match["tag"] if match else None
    if match is None or (tag is None and match["digest"] is None):
        yield Problem(what, f"image {image!r} has no tag: pin its version")
    elif tag == "latest":
        yield Problem(what, f"image {image!r} is another one tomorrow: pin its version")
    elif rendering.pinned and match["digest"] is None:
        yield Problem(what, f"image {image!r} has no digest: pin it by @sha256:... (kustomize's images: digest)")


def mounts(rendering: Rendering) -> Iterator[Problem]:
    """What is mounted is a volume of the pod, each path once; every volume is mounted."""
    for workload in rendering.workloads:
        volumes = [volume.get("name") for volume in workload.pod.get("volumes", [])]
        claims = [
            at(each, "metadata").get("name") for each in at(workload.document, "spec").get("volumeClaimTemplates", [])
        ]
        used = set()
        for container in workload.all_containers:
            paths = [mount.get("mountPath") for mount in container.get("volumeMounts", [])]
            for mount in container.get("volumeMounts", []):
                used.add(mount.get("name"))
                if mount.get("name") not in [*volumes, *claims]:
                    yield Problem(
                        workload.where(container),
                        f"mounts {mount.get('name')!r}, which is no volume of its pod",
                    )
            for path in sorted({str(each) for each in paths if paths.count(each) > 1}):
                yield Problem(workload.where(container), f"mounts two volumes at {path}: take another path")
        for unused in sorted({str(each) for each in volumes} - {str(each) for each in used}):
            yield Problem(workload.reference, f"volume {unused!r} is mounted nowhere: remove it")
        for twice in sorted({str(each) for each in volumes if volumes.count(each) > 1}):
            yield Problem(workload.reference, f"has two volumes {twice!r}: rename one")


def probe_services(rendering: Rendering) -> Iterator[Problem]:
    """GRPC probes ask for a name that the server has: for another one it never answers SERVING."""
    for workload in rendering.workloads:
        own = SERVICES.get(workload.name)
        if own is None:
            continue
        for container in workload.containers:
            for probe in _PROBES:
                asked = at(container, probe, "grpc").get("service", "")
                if "grpc" in at(container, probe) and asked not in {"", LIVENESS, own[0]}:
                    yield Problem(
                        workload.where(container),
                        f"{probe} asks for {asked!r}, which {workload.name} does not know: {LIVENESS!r} or {own[0]!r}",
                    )
