"""What an image installs is read from the extras of pyproject.toml, and is all that its program imports."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import grimp
import pytest

from deploy.docker.requirements import requirements

ROOT = Path(__file__).resolve().parents[4]
SERVICES = sorted(path.parent.name for path in ROOT.glob("services/*/servicer.py"))
# Another extra's work, for those who configure it: its code is loaded only then, and its packages are in no image but
# that of preprocessing.
ELSEWHERE = ("services.preprocessing.access", "services.preprocessing.local")


@pytest.fixture(scope="module")
def graph():
    """Who imports whom, other people's packages included."""
    found = grimp.build_graph("services", "deploy", "maas", include_external_packages=True)
    found.remove_import(importer=ELSEWHERE[0], imported=ELSEWHERE[1])
    return found


def distributions(requirement_lines):
    """The names of the distributions and of what they bring, normalised."""
    waiting = [re.match(r"[\w.-]+", line)[0] for line in requirement_lines]
    waiting += [f"{extra[1]}" for line in requirement_lines for extra in [re.match(r"[\w.-]+\[(\w+)\]", line)] if extra]
    names = set()
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in names:
            continue
        names.add(name)
        try:
            needed = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        waiting += [re.match(r"[\w.-]+", line)[0] for line in needed if "extra ==" not in line]
    return names


def test_extras_that_name_each_other(tmp_path):
    """An extra of ours that is named in another is followed, and nothing is listed twice."""
    project = tmp_path / "pyproject.toml"
    project.write_text(
        '[project]\nname = "maas-mesh"\ndependencies = ["a==1"]\n'
        '[project.optional-dependencies]\nx = ["b"]\ny = ["maas-mesh[x]", "c[d]~=2.0", "b"]\n'
    )
    assert requirements(project, ["y", "x"]) == ["a==1", "c[d]~=2.0", "b"]


def test_an_extra_that_is_not_there():
    """A service without an extra of its name cannot be built by mistake."""
    with pytest.raises(KeyError):
        requirements(ROOT / "pyproject.toml", ["weather"])


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_what_it_imports(graph, service):
    """Whatever a service's program imports, now or later, is installed by the extra of its name."""
    upstream = graph.find_upstream_modules(f"services.{service}.__main__")
    foreign = {name for name in upstream if graph.is_module_squashed(name)}
    owners = importlib.metadata.packages_distributions()
    installed = distributions(requirements(ROOT / "pyproject.toml", [service]))
    missing = {
        name: owners[name]
        for name in foreign
        if name in owners and not {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners[name]} & installed
    }
    assert not missing


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_our_code_that_it_imports(graph, service):
    """The Dockerfile copies every package of ours that a service's program imports."""
    dockerfile = (ROOT / "deploy" / "docker" / "services.Dockerfile").read_text(encoding="utf-8")
    (parts,) = re.findall(r"for part in ([a-z ]+) \"\$\{SERVICE\}\"; do", dockerfile)
    copied = ("maas", *(f"services.{part}" for part in [*parts.split(), service]))
    upstream = graph.find_upstream_modules(f"services.{service}.__main__")
    ours = {name for name in upstream if name.partition(".")[0] in {"services", "deploy", "maas"}} - {"services"}
    assert not {
        name for name in ours if not name.startswith(tuple(f"{part}." for part in copied)) and name not in copied
    }


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_no_model_library(service):
    """Models run in Triton: neither their libraries nor what only builds them is in a service's image."""
    installed = distributions(requirements(ROOT / "pyproject.toml", [service]))
    assert not installed & {"torch", "onnx", "onnxruntime", "opencv-python-headless", "ctranslate2", "pip", "typer"}
