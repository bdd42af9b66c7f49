"""The checks of manifests: the real ones pass, and every mistake is found by the check that is meant for it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from deploy.k8s.checks.all import CHECKS, run
from deploy.k8s.checks.rendering import Rendering
from tests.unit.deploy.k8s.mutations import MUTATIONS, Mutation, Objects

_BY_NAME = {check.__name__: check for check in CHECKS}


def test_the_manifests_have_no_finding(rendered: Mapping[str, Rendering]) -> None:
    """Nothing is wrong with any overlay or combination of components."""
    assert run(rendered.values()) == []


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_a_mistake_is_found(rendered: Mapping[str, Rendering], mutation: Mutation) -> None:
    """A mistake in a real rendering is found by its check, at its object, and nothing was found before."""
    original = rendered[mutation.overlay]
    objects = Objects(original)
    mutation.make(objects)
    check = _BY_NAME[mutation.check]
    assert list(check(original)) == []
    found = list(check(objects.as_rendering(original)))
    assert mutation.object in {problem.object for problem in found}


def test_every_check_has_a_mistake_that_it_finds() -> None:
    """No check is there that never finds anything."""
    assert {mutation.check for mutation in MUTATIONS} == set(_BY_NAME)


def test_checks_have_different_names() -> None:
    """A finding tells by its check's name which rule it is about."""
    assert len(_BY_NAME) == len(CHECKS)
