"""Every panel of every dashboard shows something of a mesh under real calls, and every rule can be evaluated."""

from __future__ import annotations

import os
import subprocess
import sys

import grpc
import pytest

from deploy.local.processes import SERVICES
from deploy.local.scraping import programs
from deploy.observability.boards import BOARDS
from deploy.observability.objectives import read
from deploy.observability.panels import Panel, Query
from maas.nlp.v1 import nlp_pb2, nlp_pb2_grpc
from tests.e2e.prometheus import Prometheus

PANELS = [(board.uid, panel, query) for board in BOARDS for panel in board.panels for query in panel.queries]
# Those alone may have no series here: this machine has no GPU, and nothing need fail or be slow, nor any alert fire.
MAY_BE_EMPTY = {
    ("maas-triton", "GPU"),
    ("maas-triton", "GPU memory"),
    ("maas-triton", "GPU power"),
    ("maas-overview", "Router: made again or twice"),
    ("maas-objectives", "Budgets that burn"),
}
JUDGED = "sentiment-e5-en"
# In each of two rounds: the first is the reference and a window, see NLP_DRIFT_ITEMS in conftest.
WATCHED_TEXTS = 50
# Of each kind one: texts, twice so that the cache has them, pictures, graphs, live speech, speaking, writing, and what
# callers found right.
CALLS = (
    ("nlp", "sentiment", "What a warm film."),
    ("nlp", "sentiment", "What a warm film."),
    ("vision", "detect", ".build/samples/coffee.png"),
    ("graph", "run", "hear-and-judge", "--input", "recording=@.build/samples/ask-not.wav"),
    ("speech", "listen", ".build/samples/ask-not.wav"),
    ("speech", "speak", "Hello.", "--out", "OUT"),
    ("nlp", "reply", "Say yes.", "--max-tokens", "4"),
    ("models", "feedback", JUDGED, "0.93:right", "0.97:wrong", "0.6:right"),
)


def filled(expr: str) -> str:
    """PromQL as Grafana asks it when everything is chosen."""
    for name in ("job", "method", "model", "slo"):
        expr = expr.replace(f'"${name}"', '".*"')
    expr = expr.replace("$__rate_interval", "2m")
    assert "$" not in expr
    return expr


def show_texts(address: str, name: str) -> None:
    """So many texts that drift of their model is known, one after another; name: tells rounds apart for the cache."""
    with grpc.insecure_channel(address) as channel:
        judge = nlp_pb2_grpc.NlpServiceStub(channel).AnalyzeSentiment
        for number in range(WATCHED_TEXTS):
            text = f"Film {name} {number} is good."
            judge(nlp_pb2.AnalyzeSentimentRequest(model=JUDGED, language_code="en", contents=[text]), timeout=30)


@pytest.fixture(scope="module")
def prometheus(mesh, wait_for, tmp_path_factory) -> Prometheus:
    """That of the mesh, after calls of all kinds that it has seen grow."""
    if programs(mesh.settings.build) is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("this machine has no Prometheus: `make prometheus`")
    found = Prometheus(mesh.ports.prometheus)
    out = str(tmp_path_factory.mktemp("said") / "said.wav")

    def scraped() -> float:
        return min(float(each["value"][1]) for each in found.query('count_over_time(up{job!="prometheus"}[1h])'))

    for name in ("one", "two"):
        show_texts(mesh.address, name)
        for call in CALLS:
            command = [sys.executable, "-m", "services.cli", *(out if word == "OUT" else word for word in call)]
            done = subprocess.run(command, env=mesh.environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        before = scraped()
        # A counter that was not there before has grown only from its second value on.
        wait_for(lambda before=before: scraped() >= before + 2, "Prometheus has collected twice", 60)
    wait_for(lambda: len(found.query("maas:slo_bad:ratio_rate5m")) > 5, "rules were evaluated", 120)
    # Its group is evaluated every two minutes.
    wait_for(lambda: found.query("maas:slo_budget_left:ratio"), "the budgets' rest was evaluated", 180)
    return found


def test_it_collects_from_every_process(prometheus):
    """None is missing, none answers with an error."""
    jobs = ("triton", "gateway", "prometheus", *SERVICES)
    assert prometheus.targets() == dict.fromkeys(jobs, "up")


@pytest.mark.parametrize(
    ("board", "panel", "query"), PANELS, ids=lambda value: value.title if isinstance(value, Panel) else ""
)
def test_a_panel_shows_something(prometheus, board: str, panel: Panel, query: Query):
    """Its PromQL is valid and returns series, but for the few that may be empty even under these calls."""
    found = prometheus.query(filled(query.expr))
    values = [float(each["value"][1]) for each in found]
    shows = any(value == value for value in values)  # noqa: PLR0124 - not a number
    assert shows or (board, panel.title) in MAY_BE_EMPTY, f"{board}: {panel.title}: {query.expr}"


def test_what_may_be_empty_is_there_and_says_so():
    """Each of the list is a panel, and tells whoever looks at it why it shows nothing."""
    assert {(board, panel.title) for board, panel, _ in PANELS if panel.empty} >= MAY_BE_EMPTY


def test_every_rule_is_evaluated(prometheus):
    """With no error; each promise whose calls were made has a measured share of bad calls."""
    rules = prometheus.rules()
    assert {rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] == "err"} == {}
    measured = {each["metric"]["slo"] for each in prometheus.query("maas:slo_bad:ratio_rate5m")}
    known = {indicator.name for indicator in read().indicators}
    expected = {
        f"{name}-{kind}" for name in ("understanding", "seeing", "preparing") for kind in ("available", "in-time")
    }
    assert expected <= measured <= known
    # Other tests on this mesh make calls fail on purpose: not how many, but that it is a share.
    assert all(0 <= float(each["value"][1]) <= 1 for each in prometheus.query("maas:slo_bad:ratio_rate5m"))


def test_a_slow_call_leads_to_its_trace(prometheus):
    """Histograms of durations have exemplars with trace ids."""
    found = prometheus.exemplars('rpc_server_call_duration_seconds_bucket{rpc_method=~".*AnalyzeSentiment"}')
    assert any("trace_id" in exemplar["labels"] for series in found for exemplar in series["exemplars"])
