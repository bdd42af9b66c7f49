"""Builds images on a base of Debian packages, since that needs no registry of images, and runs what they hold."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.docker import images
from tests.images.container import buildah, flags

ROOT = Path(__file__).resolve().parents[2]
# What python:3.11-slim-bookworm has, as far as it matters: Python with its shared library, pip and venv.
PACKAGES = "ca-certificates,libpython3.11,python3,python3-pip,python3-venv"


@pytest.fixture(scope="session")
def base() -> str:
    """An image with Python to build on: MAAS_IMAGE_BASE, or one made of Debian's packages, kept for the next time."""
    if asked := os.environ.get("MAAS_IMAGE_BASE"):
        return asked
    if os.geteuid() != 0 or not shutil.which("buildah") or not shutil.which("debootstrap"):
        pytest.skip("needs root, buildah and debootstrap: apt install buildah debootstrap")
    name, folder = "localhost/maas-mesh-base:bookworm", ROOT / ".build" / "image-base"
    if name not in buildah("images", "--format", "{{.Name}}:{{.Tag}}").split():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", folder], check=True)
        for leftover in (folder / "var/cache/apt/archives", folder / "var/lib/apt/lists"):
            shutil.rmtree(leftover)
            leftover.mkdir()
        container = buildah("from", "scratch")
        buildah("copy", "--quiet", container, str(folder), "/")
        buildah("commit", "--quiet", "--rm", container, name)
        shutil.rmtree(folder)
    return name


@pytest.fixture(scope="session")
def built(base: str) -> Callable[[str], str]:
    """Build an image, once a run, and return its name."""
    os.environ.setdefault("BUILDAH_ISOLATION", "chroot")
    done: dict[str, str] = {}
    bases = [argument for name in ("BASE", "EMBEDDED_BASE") for argument in ("--build-arg", f"{name}={base}")]
    wanted = images.Wanted("buildah", "localhost", "test", "0123", (*bases, *flags()))

    def build(image: str) -> str:
        if image not in done:
            if not done:
                images.prepare(ROOT / ".build")
            subprocess.run(["nice", *images.build_command(image, wanted)], cwd=ROOT, check=True, capture_output=True)
            done[image] = wanted.name(image)
        return done[image]

    return build
