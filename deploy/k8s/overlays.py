"""The overlays as `kubectl apply -k` would send them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from deploy.k8s.gateway import ROOT

OVERLAYS = ROOT / "overlays"
KUBECTL = "kubectl"


class CannotBuild(Exception):
    """Kustomize refuses a folder; the message is its own."""


def overlays() -> list[Path]:
    """The folders of all overlays."""
    return sorted(path.parent for path in OVERLAYS.glob("*/kustomization.yaml"))


def build(folder: Path) -> str:
    """What `kubectl kustomize` makes of a folder: YAML documents. Raises CannotBuild."""
    done = subprocess.run([KUBECTL, "kustomize", str(folder)], capture_output=True, text=True, check=False)
    # Warnings too: what is deprecated today is gone tomorrow.
    if done.returncode or done.stderr:
        raise CannotBuild(f"{folder}: {done.stderr.strip()}")
    return done.stdout
