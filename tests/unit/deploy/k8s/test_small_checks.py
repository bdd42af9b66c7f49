"""What single checks take, beside the mistakes that they find."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest
from rich.console import Console

from deploy.k8s.checks import command
from deploy.k8s.checks.all import run
from deploy.k8s.checks.containers import images
from deploy.k8s.checks.environment import resolved
from deploy.k8s.checks.network import allows
from deploy.k8s.checks.quantities import parse
from deploy.k8s.checks.rendering import Rendering, selects
from tests.unit.deploy.k8s.mutations import Objects

DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("250m", "0.25"),
        ("1.5", "1.5"),
        (2, "2"),
        ("2Gi", str(2 * 1024**3)),
        ("1e3", "1000"),
        ("1E", str(10**18)),
        (".5k", "500"),
    ],
)
def test_quantities_are_read_as_kubernetes_does(text: object, value: str) -> None:
    """Suffixes are decimal, binary or exponents; an E alone is exa."""
    assert parse(text) == Decimal(value)


@pytest.mark.parametrize("text", ["1GB", "1 Gi", "", "Gi", "1K", True, None])
def test_what_is_no_quantity_is_refused(text: object) -> None:
    """With a sentence that says what one looks like."""
    with pytest.raises(ValueError, match="is no quantity"):
        parse(text)


@pytest.mark.parametrize("suffix", [f":0.1.0@{DIGEST}", f"@{DIGEST}"])
def test_a_digest_pins_an_image(rendered: Mapping[str, Rendering], suffix: str) -> None:
    """With or without a tag beside it, which kustomize takes away."""
    objects = Objects(rendered["dev"])
    objects.pinned = True
    for workload in objects.as_rendering(rendered["dev"]).workloads:
        for container in workload.all_containers:
            container["image"] = f"registry.example:5000/maas-mesh/any{suffix}"
    assert list(images(objects.as_rendering(rendered["dev"]))) == []


def test_selectors_have_expressions() -> None:
    """All four operators, of which every one must hold."""
    labels = {"name": "nlp", "tier": "back"}
    expressions = [
        {"key": "name", "operator": "In", "values": ["nlp", "vision"]},
        {"key": "tier", "operator": "NotIn", "values": ["front"]},
        {"key": "tier", "operator": "Exists"},
        {"key": "canary", "operator": "DoesNotExist"},
    ]
    assert selects({"matchExpressions": expressions}, labels)
    for wrong in ({"name": "router"}, {"tier": "front"}, {"canary": "yes"}):
        assert not selects({"matchExpressions": expressions}, labels | wrong)
    assert selects({}, labels)


def test_only_callers_reach_triton(rendered: Mapping[str, Rendering]) -> None:
    """By production's policies: every service that asks it, neither the gateway nor the router, nor anybody outside."""
    production = rendered["production"]
    named = {workload.name: workload for workload in production.workloads}
    triton, port = named["triton"], 8001
    reach = {name for name, each in named.items() if allows(production, triton, "Ingress", each, port)}
    assert reach == {"preprocessing", "nlp", "vision", "speech", "models"}
    assert not allows(production, triton, "Ingress", None, port)
    assert allows(production, named["gateway"], "Ingress", None, named["gateway"].ports()["public"])


def test_the_control_plane_reaches_tritons_http_port_where_it_is_let(rendered: Mapping[str, Rendering]) -> None:
    """With `operator-access` and not without it; the port for inference stays closed to it."""
    policies = rendered["base + network-policies"]
    opened = rendered["base + network-policies + operator-access"]
    [triton] = [each for each in opened.workloads if each.name == "triton"]
    assert not allows(policies, triton, "Ingress", None, 8000)
    assert allows(opened, triton, "Ingress", None, 8000)
    assert not allows(opened, triton, "Ingress", None, 8001)


def test_variables_may_be_made_of_others() -> None:
    """$(NAME) is a variable that stands before it, $$ a dollar; what nobody tells makes the whole unknown."""
    secret = {"secretKeyRef": {"name": "away", "key": "word"}}
    variables = [
        {"name": "HOST", "value": "triton"},
        {"name": "ADDRESS", "value": "$(HOST):8001 $$(HOST) $(NONE)"},
        {"name": "WORD", "valueFrom": secret},
        {"name": "URL", "value": "postgresql://maas:$(WORD)@host"},
        {"name": "CORES", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
    ]
    assert resolved(Rendering("any", ()), {"env": variables}) == {
        "HOST": "triton", "ADDRESS": "triton:8001 $(HOST) $(NONE)", "WORD": None, "URL": None, "CORES": "1",
    }  # fmt: skip


def test_a_finding_stands_once_for_all_renderings(rendered: Mapping[str, Rendering]) -> None:
    """And names those that have it."""
    wrong = []
    for name in ("dev", "production"):
        objects = Objects(rendered[name])
        del objects.container("Deployment/nlp")["startupProbe"]
        wrong.append(objects.as_rendering(rendered[name]))
    [finding] = run(wrong)
    assert (finding.check, finding.problem.object) == ("probes", "Deployment/nlp (nlp)")
    assert finding.renderings == ("dev", "production")


def test_the_command_fails_with_a_table(rendered: Mapping[str, Rendering], monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what is wrong where, and exits with 1; with 0 when nothing is."""
    objects = Objects(rendered["dev"])
    objects.container("Deployment/nlp")["image"] = "maas-mesh/nlp:latest"
    console = Console(width=200, record=True)
    monkeypatch.setattr(command, "renderings", lambda: [objects.as_rendering(rendered["dev"])])
    assert command.check(console=console) == 1
    text = console.export_text()
    assert "Deployment/nlp (nlp)" in text
    assert "is another one tomorrow" in text
    monkeypatch.setattr(command, "renderings", lambda: [rendered["dev"]])
    assert command.check(console=console) == 0
