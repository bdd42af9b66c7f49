"""What is rendered: every overlay, and the base with every combination of components that people are told of."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from deploy.k8s.checks.rendering import NAMESPACE, Rendering
from deploy.k8s.gateway import COMPONENTS, ROOT
from deploy.k8s.overlays import OVERLAYS, build, overlays

_SAFE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# The combinations of components that deploy/README.md names; a test compares. Each component is in one of them.
COMBINATIONS: tuple[tuple[str, ...], ...] = (
    ("access",),
    ("gpu",),
    ("network-policies",),
    ("network-policies", "egress"),
    ("network-policies", "operator-access"),
    ("autoscaling",),
    ("autoscaling-keda",),
    ("autoscaling", "autoscaling-keda"),
    ("gateway-api",),
    ("gateway-api", "tls-cert-manager"),
    ("gateway-api", "identity"),
    ("tls",),
    ("tls", "tls-cert-manager"),
    ("tls", "mtls"),
    ("identity",),
    ("tls", "identity"),
    ("tls", "mtls", "identity"),
    ("identity", "network-policies", "egress"),
    ("priority-classes",),
    ("log-levels",),
    ("model-volume",),
    ("gpu", "model-volume"),
    ("tracing",),
    ("tracing", "network-policies"),
    ("monitoring",),
    ("monitoring-operator",),
    ("tracing", "monitoring-operator", "network-policies"),
)


def components() -> list[str]:
    """Their names, which are their folders."""
    return sorted(file.parent.name for file in COMPONENTS.glob("*/kustomization.yaml"))


def parse(name: str, text: str, *, pinned: bool = False) -> Rendering:
    """Documents of YAML text; empty ones are left out."""
    documents = (document for document in yaml.load_all(text, Loader=_SAFE) if document)
    return Rendering(name, tuple(documents), pinned)


def render_overlay(name: str) -> Rendering:
    """One overlay. Raises CannotBuild."""
    return parse(name, build(OVERLAYS / name))


def render_folder(folder: Path) -> Rendering:
    """An overlay of an operator's, whose images have digests. Raises CannotBuild."""
    return parse(str(folder), build(folder), pinned=True)


def render_combination(chosen: tuple[str, ...]) -> Rendering:
    """The base with these components. Raises CannotBuild."""
    with tempfile.TemporaryDirectory(prefix="maas-kustomize-") as folder:
        resolved = Path(folder).resolve()
        # Kustomize takes folders outside of its own by relative paths only.
        root = Path(os.path.relpath(ROOT.resolve(), resolved))
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": NAMESPACE,
            "resources": [str(root / "base")],
            "components": [str(root / "components" / each) for each in chosen],
        }
        (resolved / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
        return parse(" + ".join(("base", *chosen)), build(resolved))


def renderings() -> Iterator[Rendering]:
    """All overlays and combinations, rendered side by side. Raises CannotBuild."""
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        yield from pool.map(render_overlay, [folder.name for folder in overlays()])
        yield from pool.map(render_combination, ((), *COMBINATIONS))
