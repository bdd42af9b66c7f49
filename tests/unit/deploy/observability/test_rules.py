"""Objectives cover every RPC, rules are what follows from them, and each alert fires when it should."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from pydantic import ValidationError

from deploy.local.processes import SERVICES
from deploy.local.scraping import RULES
from deploy.local.settings import REPOSITORY, LocalSettings
from deploy.observability.generating import files
from deploy.observability.objectives import Objective, read

CASES = sorted((Path(__file__).parent / "rules").glob("*.yaml"))
PROMISED = read().objectives
ALERTS = [
    rule
    for path in RULES
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
]


def methods() -> list[str]:
    """Every RPC of the mesh, as metrics name it."""
    described = FileDescriptorSet.FromString((LocalSettings().build / "protos" / "maas.binpb").read_bytes())
    return [
        f"{file.package}.{service.name}/{method.name}"
        for file in described.file
        if file.package.startswith("maas.")
        for service in file.service
        for method in service.method
    ]


@pytest.mark.parametrize("method", methods())
def test_every_rpc_is_promised_something_once(method: str) -> None:
    """A new RPC needs a place in slo.yaml."""
    assert len([each.name for each in PROMISED if each.covers(method)]) == 1


@pytest.mark.parametrize("path", files())
def test_what_is_generated_is_up_to_date(path: str) -> None:
    """`python -m deploy.observability` would write what is there."""
    assert (REPOSITORY / path).read_text() == files()[path], "run: python -m deploy.observability"


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should(promtool: Path, path: Path) -> None:
    """Prometheus itself evaluates the rules over made series: budgets burn or do not, causes are there or are not."""
    done = subprocess.run([promtool, "test", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_are_well_formed(promtool: Path) -> None:
    """By Prometheus's own judgement, duplicates included."""
    done = subprocess.run([promtool, "check", "rules", *RULES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels'].get('window', '')}")
def test_an_alert_says_what_to_do(rule: dict[str, dict[str, str]]) -> None:
    """It has a severity, a summary, a description, and a section in the runbook; and a case in which it fires."""
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert {"summary", "description", "runbook"} == set(rule["annotations"])
    file, _, anchor = rule["annotations"]["runbook"].partition("#")
    sections = re.findall(r"^## (\w+)$", (REPOSITORY / file).read_text(), re.MULTILINE)
    assert anchor in [section.lower() for section in sections]
    assert anchor == str(rule["alert"]).lower()
    assert any(str(rule["alert"]) in path.read_text() for path in CASES)


@pytest.mark.parametrize("name", ["ServiceDown", "RestartsOften"])
def test_alerts_about_processes_are_about_ours(name: str) -> None:
    """About each service, and about nothing else in a Prometheus that others use too."""
    (expression,) = [str(rule["expr"]) for rule in ALERTS if rule["alert"] == name]
    assert f'{{job=~"{"|".join(SERVICES)}"}}' in expression


def test_the_runbook_has_no_section_too_many() -> None:
    """A section of an alert that is gone goes, too."""
    sections = re.findall(r"^## (\w+)$", (REPOSITORY / "deploy/observability/runbook.md").read_text(), re.MULTILINE)
    assert sorted(sections) == sorted({str(rule["alert"]) for rule in ALERTS})


def test_a_promise_that_could_never_be_seen_broken_is_refused() -> None:
    """With a budget above a fourteenth the fastest burn would need more than all calls to fail."""
    known = {"name": "x", "service": "maas.x.v1.X", "summary": "X", "methods": ["Do"], "available_percent": 90}
    with pytest.raises(ValidationError, match="greater than 93"):
        Objective.model_validate(known)
    with pytest.raises(ValidationError, match="go together"):
        Objective.model_validate(known | {"available_percent": 99, "within_seconds": 1})


def test_a_time_that_is_no_bound_of_a_histogram_is_refused() -> None:
    """Else the bars of the histogram would have none of that width, and the promise would look kept for ever."""
    known = {"name": "x", "service": "maas.x.v1.X", "summary": "X", "methods": ["Do"], "available_percent": 99}
    within = {"within_percent": 99}
    assert Objective.model_validate(known | within | {"within_seconds": 0.5}).within_seconds == 0.5
    with pytest.raises(ValidationError, match=r"x: .* 0\.5, 1, 2, .* takes one of these, got 0\.75"):
        Objective.model_validate(known | within | {"within_seconds": 0.75})
