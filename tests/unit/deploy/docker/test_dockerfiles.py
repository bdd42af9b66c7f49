"""The Dockerfiles say what the manifests and the table of times say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from deploy import drain
from deploy.docker import images
from deploy.k8s.checks.kustomize import render_combination

ROOT = Path(__file__).resolve().parents[4]
SERVICES = (ROOT / "deploy" / "docker" / "services.Dockerfile").read_text(encoding="utf-8")
TRITON = (ROOT / "deploy" / "docker" / "triton.Dockerfile").read_text(encoding="utf-8")


def entry_point():
    """Of NVIDIA's Triton: the last in the file."""
    return json.loads(TRITON.rpartition("ENTRYPOINT ")[2].partition("]")[0].replace("\\\n", "") + "]")


def container(chosen, name):
    """The container of that name in the Deployment of that name, rendered with these components."""
    documents = render_combination(chosen).documents
    (deployment,) = [d for d in documents if d["kind"] == "Deployment" and d["metadata"]["name"] == name]
    (found,) = [each for each in deployment["spec"]["template"]["spec"]["containers"] if each["name"] == name]
    return found


def test_every_service_has_a_stage():
    """A new service needs a line of its own, where what only it has is copied."""
    stages = set(re.findall(r"^FROM runtime AS (\S+)$", SERVICES, flags=re.MULTILINE))
    assert stages == set(images.services(ROOT))


def test_how_long_triton_finishes_its_calls():
    """Both kinds of Triton have the time that deploy/drain.py derives."""
    seconds = drain.stops(drain.KUBERNETES)["triton"].drain
    assert f"--exit-timeout-secs={seconds}" in entry_point()
    assert f"TRITON_DRAIN_SECONDS={seconds}\n" in TRITON


def test_the_manifests_pass_what_the_image_has():
    """The gpu component writes the command out; none of the image's own options is lost in it."""
    args = container(("gpu",), "triton")["args"]
    assert set(entry_point()[1:]) <= set(args)


@pytest.mark.parametrize("dockerfile", [SERVICES, TRITON])
def test_nobody_runs_as_root(dockerfile):
    """The user is a number, so that Kubernetes can see that it is not root."""
    assert set(re.findall(r"^USER (\S+)$", dockerfile, flags=re.MULTILINE)) == {"65532:65532"}


def test_bases_are_pinned():
    """Each base has a tag that says a release."""
    bases = re.findall(r"^ARG (?:\w+_)?BASE=(\S+)$", SERVICES + TRITON, flags=re.MULTILINE)
    assert len(bases) == 4
    assert all(re.fullmatch(r"\S+:\d+\.\d+\S*", base) for base in bases)
