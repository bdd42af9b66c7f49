"""What is rendered: every overlay, and the base with every combination of components that people are told of."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from deploy.k8s.checks.rendering import Rendering

ROOT = Path(__file__).resolve().parents[1]
_SAFE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SECONDS = 60

# The combinations that deploy/README.md names, beside the base alone and each component alone; a test compares.
COMBINATIONS: tuple[tuple[str, ...], ...] = ()


class CannotRender(Exception):
    """kubectl is missing, or kustomize refuses the folder: the message says why."""


def overlays(root: Path = ROOT) -> list[str]:
    """Their names, which are their folders."""
    return sorted(file.parent.name for file in (root / "overlays").glob("*/kustomization.yaml"))


def components(root: Path = ROOT) -> list[str]:
    """Their names, which are their folders."""
    return sorted(file.parent.name for file in (root / "components").glob("*/kustomization.yaml"))


def kubectl() -> str:
    """The program: that of this environment, else the machine's. Raises CannotRender."""
    own = Path(sys.prefix, "bin", "kubectl")
    found = str(own) if own.is_file() else shutil.which("kubectl")
    if found is None:
        raise CannotRender("kubectl is missing: `make install` brings it")
    return found


def build(folder: Path) -> str:
    """The documents of a kustomization, as YAML. Raises CannotRender with what kustomize says."""
    done = subprocess.run(
        [kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False, timeout=_SECONDS
    )
    if done.returncode != 0:
        raise CannotRender(f"{folder.name}: {done.stderr.strip()}")
    return done.stdout


def parse(name: str, text: str, *, pinned: bool = False) -> Rendering:
    """Documents of YAML text; empty ones are left out."""
    documents = (document for document in yaml.load_all(text, Loader=_SAFE) if document)
    return Rendering(name, tuple(documents), pinned)


def render_overlay(name: str, root: Path = ROOT) -> Rendering:
    """One overlay; those for production pin images by digest. Raises CannotRender."""
    return parse(name, build(root / "overlays" / name), pinned=name.startswith("production"))


def render_combination(chosen: tuple[str, ...], root: Path = ROOT) -> Rendering:
    """The base with these components. Raises CannotRender."""
    name = " + ".join(("base", *chosen))
    with tempfile.TemporaryDirectory(prefix="maas-kustomize-") as folder:
        # Kustomize takes folders outside of its own by relative paths only.
        resolved = Path(folder).resolve()
        there = Path(os.path.relpath(root.resolve(), resolved))
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [str(there / "base")],
            "components": [str(there / "components" / each) for each in chosen],
        }
        (resolved / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
        return parse(name, build(resolved))


def renderings(root: Path = ROOT) -> Iterator[Rendering]:
    """All overlays and combinations, rendered side by side. Raises CannotRender."""
    alone = tuple((each,) for each in components(root))
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        yield from pool.map(lambda name: render_overlay(name, root), overlays(root))
        yield from pool.map(lambda chosen: render_combination(chosen, root), ((), *alone, *COMBINATIONS))
