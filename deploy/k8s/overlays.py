"""The overlays as `kubectl apply -k` would send them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from deploy.k8s.gateway import ROOT

OVERLAYS = ROOT / "overlays"


class CannotBuild(Exception):
    """Kustomize refuses a folder, or is not there; the message says why."""


def overlays() -> list[Path]:
    """The folders of all overlays."""
    return sorted(path.parent for path in OVERLAYS.glob("*/kustomization.yaml"))


def kubectl() -> str:
    """The program: that of this environment, else the machine's. Raises CannotBuild."""
    own = Path(sys.prefix, "bin", "kubectl")
    found = str(own) if own.is_file() else shutil.which("kubectl")
    if found is None:
        raise CannotBuild("kubectl is missing: `make install` brings it")
    return found


def build(folder: Path) -> str:
    """What `kubectl kustomize` makes of a folder: YAML documents. Raises CannotBuild."""
    done = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    # Warnings too: what is deprecated today is gone tomorrow.
    if done.returncode or done.stderr:
        raise CannotBuild(f"{folder}: {done.stderr.strip()}")
    return done.stdout
