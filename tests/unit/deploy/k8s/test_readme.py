"""deploy/README.md tells operators of exactly what is rendered, checked and needed."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from deploy.k8s.checks.all import run
from deploy.k8s.checks.brought import BROUGHT
from deploy.k8s.checks.containers import OWN_IMAGES
from deploy.k8s.checks.kustomize import COMBINATIONS, components, render_combination, render_folder
from deploy.k8s.checks.rendering import Rendering, reference
from deploy.k8s.gateway import COMPONENTS
from deploy.k8s.overlays import OVERLAYS, overlays

_README = (Path(__file__).parents[4] / "deploy" / "README.md").read_text()
# Their order matters, and the README says so: a later one changes what an earlier one brought.
_ORDERED = (("gpu", "model-volume"), ("autoscaling", "autoscaling-keda"))
_DIGEST = f"sha256:{'a' * 64}"
# It answers as Docker does when it has pushed or pulled an image.
_DOCKER = f"""#!/bin/sh
for image; do :; done
[ "$1" = pull ] || echo "${{image%:*}}@{_DIGEST}"
"""
_PART_OF = "app.kubernetes.io/part-of=maas-mesh"
# Names by which kubectl takes kinds, where they are others than the kind itself.
_SHORT = {"HorizontalPodAutoscaler": "hpa", "Gateway": "gateway.gateway.networking.k8s.io"}


def _first_cells(section: str) -> list[str]:
    """Of the table in a section."""
    [text] = re.findall(rf"^## {section}\n(.*?)(?=^## )", _README, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"^\| (`.*?) \|", text, flags=re.MULTILINE)


def test_the_combinations_are_those_of_the_readme() -> None:
    """Every combination that it names is rendered and checked, and no other."""
    named = [
        tuple(re.findall(r"`([a-z-]+)`", combination))
        for cell in _first_cells("Components")
        for combination in cell.split(", ")
    ]
    assert sorted(named) == sorted(COMBINATIONS)


def test_every_component_is_in_a_combination() -> None:
    """None is there that nobody renders."""
    assert {each for chosen in COMBINATIONS for each in chosen} == set(components())


def test_the_overlays_are_those_of_the_readme() -> None:
    """Each folder has its line."""
    assert _first_cells("Overlays") == [f"`{folder.name}`" for folder in overlays()]


@pytest.mark.parametrize(("kind", "name"), list(BROUGHT))
def test_what_operators_bring_stands_in_the_readme(kind: str, name: str) -> None:
    """With its keys, where it has some."""
    assert f"`{name}`" in _README
    for key in BROUGHT[kind, name].keys:
        assert key in _README


def test_the_commands_name_each_image_of_production(rendered: Mapping[str, Rendering]) -> None:
    """Those of ours by name and those of others with their tags, and none that it does not run."""
    ours, others = re.findall(r"^for image in (.*); do$", _README, flags=re.MULTILINE)
    images = {each["image"] for workload in rendered["production"].workloads for each in workload.all_containers}
    own = {each for each in images if each.startswith(OWN_IMAGES)}
    assert set(ours.split()) == {each.split("/")[1].split(":")[0] for each in own}
    assert set(others.split()) == images - own


def test_the_commands_pin_images_by_digest(tmp_path: Path) -> None:
    """What they make of an operator's overlay passes all checks, digests included. Docker's answers are invented."""
    [commands] = re.findall(r"^```sh\n([^`]*RepoDigests.*?)^```", _README, flags=re.DOTALL | re.MULTILINE)
    programs, mine = tmp_path / "bin", tmp_path / "mine"
    programs.mkdir()
    mine.mkdir()
    for name, script in (("docker", _DOCKER), ("make", "#!/bin/sh\n")):
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    kustomization = mine / "kustomization.yaml"
    production = os.path.relpath(OVERLAYS.resolve() / "production", mine.resolve())
    head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
    kustomization.write_text(f"{head}resources:\n- {production}\nimages:\n")
    path = f"{programs}:{os.environ['PATH']}"
    subprocess.run(["bash", "-euo", "pipefail", "-c", commands], cwd=tmp_path, env={"PATH": path}, check=True)
    rendering = render_folder(mine)
    assert run([rendering]) == []
    images = {each["image"] for workload in rendering.workloads for each in workload.all_containers}
    assert f"registry.example.com/team/maas-mesh/nlp@{_DIGEST}" in images
    assert any(each.startswith("envoyproxy/envoy") and each.endswith(_DIGEST) for each in images)


def test_what_components_leave_behind_can_be_deleted(rendered: Mapping[str, Rendering]) -> None:
    """The commands for a component that is left out name each object that it alone brought, and nothing else."""
    told: dict[str, set[str]] = {}
    for kinds, names, component in _deletions():
        told.setdefault(component, set()).update(
            f"{kind}/{name}" for kind in kinds.split(",") for name in names.split()
        )
    for component in components():
        chosen = min((each for each in COMBINATIONS if component in each), key=len)
        others = " + ".join(("base", *(each for each in chosen if each != component)))
        brought = _objects(rendered[" + ".join(("base", *chosen))]) - _objects(rendered[others])
        if component == "network-policies":
            assert told.pop(component) == {"networkpolicy/-l", f"networkpolicy/{_PART_OF}"}
            assert {each.partition("/")[0] for each in brought} == {"networkpolicy"}
        else:
            assert told.pop(component, set()) == brought, component
    assert told == {}


def _deletions() -> list[tuple[str, str, str]]:
    """Kinds, names and component of each command."""
    return re.findall(r"^kubectl (?:-n maas )?delete (\S+) (.*?) +# ([a-z-]+)", _README, flags=re.MULTILINE)


def _objects(rendering: Rendering) -> set[str]:
    """By kind and name as kubectl takes them; ConfigMaps of one version, whose names end in a hash, are left out."""
    found = set()
    for each in rendering.documents:
        kind = str(each["kind"])
        what = f"{_SHORT.get(kind, kind.lower())}/{each['metadata']['name']}"
        if not re.fullmatch(r"configmap/.*-[bcdfghkmt2456789]{10}", what):
            found.add(what)
    return found


def test_whoever_checks_a_cluster_may_read_no_secret() -> None:
    """maas-checker may not ask for Secrets: who may ask may read."""
    for role in yaml.safe_load_all((COMPONENTS / "access" / "checker.yaml").read_text()):
        assert not [each for each in role["rules"] if "secrets" in each["resources"]]


@pytest.mark.parametrize(
    "chosen", [each for each in COMBINATIONS if len(each) > 1 and each not in _ORDERED], ids="+".join
)
def test_components_go_together_in_any_order(rendered: Mapping[str, Rendering], chosen: tuple[str, ...]) -> None:
    """The other way round they make the same objects."""
    one = {reference(each): each for each in rendered[" + ".join(("base", *chosen))].documents}
    other = {reference(each): each for each in render_combination(chosen[::-1]).documents}
    assert one.keys() == other.keys()
    for what, document in one.items():
        assert _sorted(document) == _sorted(other[what]), what


def _sorted(value: object) -> object:
    """With lists in an order of their own: that of variables and mounts may differ, and means nothing here."""
    if isinstance(value, dict):
        return {key: _sorted(each) for key, each in value.items()}
    if isinstance(value, list):
        return sorted((_sorted(each) for each in value), key=repr)
    return value
