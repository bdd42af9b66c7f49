"""Dashboards as Grafana imports them: complete, without overlaps, and about metrics that there are."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.local.processes import SERVICES
from deploy.local.scraping import RULES
from deploy.local.settings import REPOSITORY
from deploy.observability.boards import BOARDS, models, overview
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


def test_calibration_is_right_from_the_first_answer_on(promtool: Path, tmp_path: Path) -> None:
    """Of ten of .9 the first is wrong: no more than a tenth off, though counters begin with it (see RecordFeedback)."""
    (panel,) = [each for each in models.BOARD.panels if each.title.startswith("Calibration")]
    labels = 'maas_model="m",maas_confidence="0.9"'
    series = {
        f'maas_feedback_answers_total{{{labels},maas_correct="true"}}': "0 1 2 3 4 5 6 7 8 9",
        f'maas_feedback_answers_total{{{labels},maas_correct="false"}}': "1x9",
        f"maas_feedback_confidence_total{{{labels}}}": "0.9+0.9x9",
    }
    asked = panel.queries[0].expr.replace('"$model"', '".*"')
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f"({asked}) <= bool 0.1",
                "eval_time": "9m",
                "exp_samples": [{"labels": '{maas_model="m"}', "value": 1}],
            }
        ],
    }
    file = tmp_path / "calibration.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [], "tests": [case]}))
    done = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_ours_can_be_away() -> None:
    """Of a Prometheus that others use too, the overview counts the processes of the mesh, all of them."""
    (panel,) = [each for each in overview.BOARD.panels if each.title == "Away"]
    assert panel.queries[0].expr == f'count(up{{job=~"gateway|triton|{"|".join(SERVICES)}"}} == 0) or vector(0)'


def test_kustomize_takes_every_dashboard() -> None:
    """A new one is in the ConfigMap, too."""
    folder = REPOSITORY / "deploy" / "observability" / "dashboards"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["configMapGenerator"][0]["files"]
    assert sorted(listed) == sorted(f"{board.uid}.json" for board in BOARDS)
    assert sorted(path.name for path in folder.glob("*.json")) == sorted(listed)
