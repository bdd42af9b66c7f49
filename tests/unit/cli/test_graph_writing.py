"""`maas graph validate` and `show`."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml
from google.protobuf.json_format import ParseDict

from maas.router.v1 import graph_pb2 as pb
from services.cli.graph import checking
from tests.unit.cli.commands import GRAPH
from tests.unit.cli.fakes import FakeMesh, Maas

FINE = yaml.safe_dump({name: GRAPH[name] for name in GRAPH if name != "version"}, sort_keys=False)
WRONG = FINE.replace("AnalyzeEntities", "AnalyseEntities")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A graph that can run."""
    path = tmp_path / "shout.yaml"
    path.write_text(FINE)
    return path


def test_graphs_are_checked_without_a_mesh(maas: Maas, written: Path, unused_address: str):
    """Each file is told to be fine, with its version, where nothing answers."""
    result = maas("graph", "validate", str(written), "--address", unused_address)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{written}: fine, version ")


def test_what_is_wrong_is_told_with_file_and_line(maas: Maas, written: Path, tmp_path: Path):
    """A problem is a line with file, line and node, and the exit code is 1, though other files are fine."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(WRONG)
    result = maas("graph", "validate", str(written), str(wrong))
    fine, told = result.stdout.splitlines()
    line = 1 + next(index for index, text in enumerate(WRONG.splitlines()) if "AnalyseEntities" in text)
    assert result.exit_code == 1
    assert "fine" in fine
    assert told.startswith(f"{wrong}:{line}: node 'find'")
    assert "AnalyseEntities" in told


def test_the_answer_is_that_of_the_mesh(mesh: FakeMesh, maas: Maas, written: Path):
    """With --json a file's answer is that of ValidateGraph; with --remote the mesh gives it. Problems end with 1."""
    answer = json.loads(maas("graph", "validate", str(written), "--json").stdout)
    assert (answer["problems"], answer["graph"]["name"]) == ([], "shout")
    assert answer["mermaid"].startswith("flowchart TD\n")
    assert mesh.requests == []
    problem = {"node": "find", "path": "request", "line": 7, "description": "is odd"}
    mesh.replies["ValidateGraph"] = ParseDict(
        {"problems": [problem, {"description": "is bad"}]}, pb.ValidateGraphResponse()
    )
    result = maas("graph", "validate", str(written), "--remote")
    assert (result.exit_code, result.stdout) == (
        *(1, f"{written}:7: node 'find', request: is odd\n{written}: is bad\n"),
    )
    assert mesh.requests == [pb.ValidateGraphRequest(yaml=FINE)]


def test_a_file_is_shown_without_a_mesh(maas: Maas, written: Path, unused_address: str, tmp_path: Path):
    """As a tree, its outputs in the order of the file; as a flowchart; as a picture, written to a file."""
    written.write_text(FINE.replace("outputs:\n", "outputs:\n  zeal: {value: '1', summary: Much.}\n"))
    show = ("graph", "show", str(written), "--address", unused_address)
    assert "find  NlpService/AnalyzeEntities  takes inputs.text" in maas(*show).stdout
    assert maas(*show, "--mermaid").stdout.startswith("flowchart TD\n")
    assert maas(*show, "--svg", str(tmp_path / "a.svg")).stdout == ""
    assert ET.fromstring((tmp_path / "a.svg").read_text()).tag.endswith("svg")  # noqa: S314 - we wrote it
    assert maas(*show, "--svg", "-").stdout == (tmp_path / "a.svg").read_text()
    assert maas("graph", "show", "-", stdin=written.read_text()).stdout == maas(*show).stdout
    assert maas(*show).stdout.index("zeal") < maas(*show).stdout.index("names  from")


def test_a_file_that_cannot_run_is_not_shown(maas: Maas):
    """Instead of a picture its problems are told."""
    result = maas("graph", "show", "-", stdin=WRONG)
    assert result.exit_code == 1
    assert "node 'find'" in result.stdout
    assert "takes" not in result.stdout


def test_a_graph_of_the_mesh_is_shown(mesh: FakeMesh, maas: Maas):
    """A name is asked for, also with a version; the picture is that of the file."""
    mesh.replies["GetGraph"] = ParseDict({"graph": GRAPH}, pb.GetGraphResponse())
    assert maas("graph", "show", "shout@0123456789ab").stdout == maas("graph", "show", "-", stdin=FINE).stdout
    assert mesh.requests == [pb.GetGraphRequest(name="shout@0123456789ab")]


def test_a_graph_that_this_command_does_not_know_is_told(mesh: FakeMesh, maas: Maas):
    """A graph of a newer mesh, which this command cannot draw, is an error with a way out."""
    newer = GRAPH | {"run": {"node": "find"}}
    mesh.replies["GetGraph"] = ParseDict({"graph": newer}, pb.GetGraphResponse())
    result = maas("graph", "show", "shout")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "maas graph get shout" in result.stderr


def test_the_compiler_is_loaded_only_by_those_who_need_it():
    """Nothing at the top of the module imports the router: every other command would wait for it."""
    source = Path(checking.__file__).read_text()
    assert "\nfrom services.router" not in source
