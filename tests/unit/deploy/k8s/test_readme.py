"""deploy/README.md tells operators of exactly what is rendered, checked and needed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from deploy.k8s.checks.brought import BROUGHT
from deploy.k8s.checks.containers import OWN_IMAGES
from deploy.k8s.checks.kustomize import COMBINATIONS, components, render_combination
from deploy.k8s.checks.rendering import Rendering, reference
from deploy.k8s.gateway import COMPONENTS
from deploy.k8s.overlays import overlays

_README = (Path(__file__).parents[4] / "deploy" / "README.md").read_text()
# Their order matters, and the README says so: a later one changes what an earlier one brought.
_ORDERED = (("gpu", "model-volume"), ("autoscaling", "autoscaling-keda"))


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


def test_every_image_of_ours_gets_a_digest(rendered: Mapping[str, Rendering]) -> None:
    """The commands that pin images name each that production runs."""
    [loop] = re.findall(r"^for image in (.*); do$", _README, flags=re.MULTILINE)
    images = {each["image"] for workload in rendered["production"].workloads for each in workload.all_containers}
    assert set(loop.split()) == {each.split("/")[1].split(":")[0] for each in images if each.startswith(OWN_IMAGES)}


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
