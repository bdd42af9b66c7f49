"""Dashboards as Grafana imports them: complete, without overlaps, and about metrics that there are."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from deploy.local.scraping import RULES
from deploy.local.settings import REPOSITORY
from deploy.observability.boards import BOARDS
from deploy.observability.panels import Board, render
from services.mesh.instruments import DECLARED

_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",), "gauge": ("",), "sum": ("",)}
# Labels and what Triton's models and rules write themselves.
_OTHERS = {"maas_generated_tokens"}


def exposed() -> set[str]:
    """The names that instruments have for Prometheus."""
    found = set()
    for declared in DECLARED.values():
        unit = {"s": "_seconds", "By": "_bytes"}.get(declared.unit, "")
        name = re.sub(r"\W", "_", declared.name) + unit
        found |= {name + suffix for suffix in _SUFFIXES[declared.kind]}
    return found


@pytest.fixture(params=BOARDS, ids=lambda board: board.uid)
def board(request: pytest.FixtureRequest) -> Board:
    """Each in turn."""
    return request.param


def test_it_can_be_imported(board: Board) -> None:
    """It has a uid, a schema version, a Prometheus to choose, and panels with ids, titles and sources."""
    found = json.loads(render(board))
    assert re.fullmatch(r"[a-z-]{1,40}", found["uid"])
    assert found["schemaVersion"] >= 36
    datasource, *others = found["templating"]["list"]
    assert (datasource["name"], datasource["type"], datasource["query"]) == ("datasource", "datasource", "prometheus")
    assert all(each["datasource"]["uid"] == "${datasource}" for each in others)
    ids = [panel["id"] for panel in found["panels"]]
    assert len(set(ids)) == len(ids) > 0
    for panel in found["panels"]:
        if panel["type"] == "row":
            continue
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert [target["refId"] for target in panel["targets"]] == ["A", "B", "C"][: len(panel["targets"])]
        assert all(target["expr"] for target in panel["targets"])


def test_panels_do_not_overlap(board: Board) -> None:
    """Each has its own place within the 24 columns."""
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(render(board))["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_variables_that_panels_use_are_there(board: Board) -> None:
    """And none is there for nothing."""
    used = {name for panel in board.panels for query in panel.queries for name in re.findall(r'"\$(\w+)"', query.expr)}
    assert used == {variable.name for variable in board.variables}


def test_metrics_that_panels_and_rules_ask_for_exist() -> None:
    """Every metric of ours is one that a process has; a renamed instrument is found here."""
    texts = [query.expr for board in BOARDS for panel in board.panels for query in panel.queries]
    texts += [
        rule["expr"]
        for path in RULES
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]
    asked = {name for text in texts for name in re.findall(r"\b((?:maas|rpc|gen_ai)_\w+)[{\[]", text)}
    assert asked - exposed() - _OTHERS == set()


def test_kustomize_takes_every_dashboard() -> None:
    """A new one is in the ConfigMap, too."""
    folder = REPOSITORY / "deploy" / "observability" / "dashboards"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["configMapGenerator"][0]["files"]
    assert sorted(listed) == sorted(f"{board.uid}.json" for board in BOARDS)
    assert sorted(path.name for path in folder.glob("*.json")) == sorted(listed)
