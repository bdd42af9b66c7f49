"""`--timing`: where the time of a call went, as bars on standard error."""

import inspect
from collections.abc import Iterator, Mapping

import pytest
import typer

from maas.nlp.v1 import nlp_pb2
from maas.router.v1 import router_pb2
from services.cli.app import build
from tests.unit.cli.fakes import FakeMesh, Maas

TIMES = "total;dur=40.0, preprocess;dur=10.0, queue;dur=2.0, compute;dur=20.0, encode;dur=0.5"


@pytest.fixture
def answering(mesh: FakeMesh) -> FakeMesh:
    mesh.replies["AnalyzeSentiment"] = nlp_pb2.AnalyzeSentimentResponse(results=[{"score": 0.5}])
    return mesh


def test_a_line_a_stage(answering: FakeMesh, maas: Maas):
    """The mesh is asked for its times, and each stage that it tells has a line with a bar; the answer stays alone."""
    answering.times = TIMES
    result = maas("nlp", "sentiment", "good", "--timing", "--json")
    assert answering.metadata[0]["maas-timing"] == "1"
    for words, took in (("preprocessing", "10 ms"), ("the model", "20 ms"), ("writing the answer", "0.5 ms")):
        (line,) = [line for line in result.stderr.splitlines() if line.startswith(words)]
        assert line.endswith(took)
        assert "━" in line
    assert "━" not in result.stdout
    order = [result.stderr.index(words) for words in ("network and gateway", "preprocessing", "the service itself")]
    assert order == sorted(order)


def test_nodes_of_a_graph(mesh: FakeMesh, maas: Maas):
    """Each node has a line, with those of the stages of its service below, and how often it ran."""
    mesh.replies["RunGraph"] = router_pb2.RunGraphResponse()
    mesh.times = "total;dur=9.0, call;dur=8.0, node.hear;dur=8.0;start=0.5;runs=3, node.hear.compute;dur=7.0"
    told = maas("graph", "run", "any", "--timing").stderr
    assert told.index("calls of services") < told.index("node hear, 3 runs") < told.index("    the model")


def test_nobody_is_asked_for_what_nobody_wants(answering: FakeMesh, maas: Maas):
    """Without the option there are neither the key nor the bars."""
    answering.times = TIMES
    assert "preprocessing" not in maas("nlp", "sentiment", "good").stderr
    assert "maas-timing" not in answering.metadata[0]


def test_a_mesh_that_tells_nothing(answering: FakeMesh, maas: Maas):
    """One that does not know the key is said not to have told."""
    assert "did not tell where the time went" in maas("nlp", "sentiment", "good", "--timing").stderr


def signatures(app: typer.Typer) -> Iterator[Mapping[str, inspect.Parameter]]:
    """The parameters of every command below an app."""
    for command in app.registered_commands:
        assert command.callback
        yield inspect.signature(command.callback).parameters
    for group in app.registered_groups:
        assert group.typer_instance
        yield from signatures(group.typer_instance)


def test_every_command_that_calls_has_the_option():
    """It is offered in one place to all that take the mesh's address."""
    calling = [each for each in signatures(build([])) if "address" in each]
    assert len(calling) > 50
    assert all("timing" in each for each in calling)
