"""The overlays as `kubectl apply -k` would send them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.k8s.gateway import ROOT

OVERLAYS = ROOT / "overlays"
_BUILD_SECONDS = 120


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
    command = [kubectl(), "kustomize", str(folder)]
    # Of one processor, and not for ever: on a busy machine two of these were once seen to spin without an end, which
    # Go's runtime can do when it changes the number of its processors. A rendering takes half a second.
    environment = {**os.environ, "GOMAXPROCS": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, timeout=_BUILD_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise CannotBuild(f"{folder}: kubectl did not end within {_BUILD_SECONDS} seconds") from None
    # Warnings too: what is deprecated today is gone tomorrow.
    if done.returncode or done.stderr:
        raise CannotBuild(f"{folder}: {done.stderr.strip()}")
    return done.stdout
