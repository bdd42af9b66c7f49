"""`maas graph list`, `get`, `create`, `update`, `delete` and `traffic`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from google.protobuf.json_format import ParseDict

from maas.router.v1 import graph_pb2 as pb
from maas.router.v1 import traffic_pb2
from services.mesh import errors
from services.mesh.status import to_status
from tests.unit.cli.commands import GRAPH
from tests.unit.cli.fakes import FakeMesh, Maas


def test_all_pages_are_listed(mesh: FakeMesh, maas: Maas):
    """The list asks for page after page; a graph tells its version, what streams, and who keeps it."""
    streams = GRAPH | {
        "name": "speak",
        "inputs": {"sound": {"kind": "data", "stream": True}},
        "outputs": {"said": {"each": "hear", "value": "hear.text"}, "all": {"value": "1"}},
        "builtIn": True,
    }
    pages = {"": ([GRAPH | {"versions": ["0123456789ab", "b", "c"]}], "next"), "next": ([streams], "")}

    def page(request: pb.ListGraphsRequest, _: object) -> pb.ListGraphsResponse:
        graphs, token = pages[request.page_token]
        return ParseDict({"graphs": graphs, "nextPageToken": token}, pb.ListGraphsResponse())

    mesh.replies["ListGraphs"] = page
    out = maas("graph", "list").stdout
    shout, speak = out.split("speak ")
    assert "0123456789ab" in shout
    assert "takes text (text)" in shout
    assert "kept by this mesh, with 2 older versions" in shout
    assert "takes sound (data stream)" in speak
    assert "gives all, said (stream)" in speak
    assert "kept" not in speak


def test_a_graph_goes_out_and_in_again(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """What get writes is YAML that create takes: the content, without what the mesh added."""
    lines = "[\n  inputs.text]"
    graph = GRAPH | {
        "run": {"node": "find", "call": "a.B/C", "request": {"contents": lines, "top": 2}, "timeout": "0.500s"}
    }
    kept = graph | {"etag": "e", "createTime": "2026-01-01T00:00:00Z", "versions": ["0123456789ab"], "builtIn": True}
    mesh.replies["GetGraph"] = ParseDict({"graph": kept}, pb.GetGraphResponse())
    mesh.replies["CreateGraph"] = ParseDict({"graph": GRAPH}, pb.CreateGraphResponse())
    path = tmp_path / "shout.yaml"
    assert maas("graph", "get", "shout@0123456789ab", "--out", str(path)).stdout == ""
    assert yaml.safe_load(path.read_text()) == {name: graph[name] for name in graph if name != "version"}
    assert "contents: |-\n" in path.read_text()
    assert maas("graph", "get", "shout").stdout == path.read_text()
    assert maas("graph", "create", str(path)).stdout == "shout: created, version 0123456789ab\n"
    assert [mesh.requests[0].name, mesh.requests[-1].yaml] == ["shout@0123456789ab", path.read_text()]


def test_an_update_may_name_what_it_replaces(mesh: FakeMesh, maas: Maas):
    """--etag goes with update and delete; a graph may come from standard input."""
    mesh.replies["UpdateGraph"] = ParseDict({"graph": GRAPH}, pb.UpdateGraphResponse())
    mesh.replies["DeleteGraph"] = pb.DeleteGraphResponse()
    assert maas("graph", "update", "-", "--etag", "e", stdin="name: shout").stdout.startswith("shout: updated, version")
    assert maas("graph", "delete", "shout", "--etag", "f").stdout == "shout: deleted\n"
    assert mesh.requests == [
        pb.UpdateGraphRequest(yaml="name: shout", etag="e"),
        pb.DeleteGraphRequest(name="shout", etag="f"),
    ]


def test_a_graph_that_the_mesh_refuses_is_explained(mesh: FakeMesh, maas: Maas):
    """Each problem is told with its line, as the mesh found it."""
    wrong = [
        errors.Violation("yaml:7", "node 'find': there is no such method"),
        errors.Violation("yaml:9", "unreachable"),
    ]
    mesh.replies["CreateGraph"] = to_status(errors.InvalidArgument("the graph cannot run", violations=wrong))
    result = maas("graph", "create", "-", stdin="name: x")
    assert result.exit_code == 1
    assert "field: yaml:7: node 'find': there is no such method" in result.stderr
    assert "field: yaml:9: unreachable" in result.stderr


def test_a_policy_is_set_by_options(mesh: FakeMesh, maas: Maas):
    """Shares, shadow and canary have options; a target without a slash is a graph."""
    mesh.replies["SetTrafficPolicy"] = traffic_pb2.SetTrafficPolicyResponse()
    typed = (
        "--share a=3 --share b=1 --shadow c=0.5 --agreement answer==shadow --canary d --step 0.1 --step 1 --min-calls 9"
    )
    maas("graph", "traffic", "set", "shout", *typed.split(), "--min-seconds", "2.5", "--score", "1.0", "--etag", "e")
    policy = {
        "target": "graphs/shout",
        "shares": [{"variant": "a", "weight": 3}, {"variant": "b", "weight": 1}],
        "shadow": {"variant": "c", "share": 0.5, "agreement": "answer==shadow"},
        "canary": {"variant": "d", "steps": [0.1, 1], "minCalls": 9, "minTime": "2.500s", "score": "1.0"},
        "etag": "e",
    }
    assert mesh.requests == [ParseDict({"policy": policy}, traffic_pb2.SetTrafficPolicyRequest())]


def test_a_policy_is_set_by_a_file(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """--file has the whole policy, and options win over it; a method stays as it is written."""
    (tmp_path / "policy.yaml").write_text("target: a.B/C\nshares:\n- {variant: m, weight: 1}\netag: e\n")
    mesh.replies["SetTrafficPolicy"] = traffic_pb2.SetTrafficPolicyResponse()
    maas("graph", "traffic", "set", "--file", str(tmp_path / "policy.yaml"))
    maas("graph", "traffic", "set", "d.E/F", "--file", str(tmp_path / "policy.yaml"), "--share", "n=2", "--etag", "f")
    first, second = (each.policy for each in mesh.requests)
    assert (first.target, first.shares[0].variant, len(first.shares), first.etag) == ("a.B/C", "m", 1, "e")
    assert (second.target, second.shares[0].variant, len(second.shares), second.etag) == ("d.E/F", "n", 1, "f")


def test_a_policy_tells_what_it_does_and_saw(mesh: FakeMesh, maas: Maas):
    """Shares in per cent, how far the canary is and why, and a line of figures a variant."""
    policy = {
        "target": "a.B/C",
        "shares": [{"variant": "", "weight": 3}, {"variant": "small", "weight": 1}],
        "canary": {"variant": "large"},
        "canaryStatus": {"state": "CANARY_STATE_ROLLED_BACK", "reason": "p95 was twice that of the others"},
        "shadow": {"variant": "old", "share": 0.1},
        "statistics": [
            {"variant": "", "calls": 90, "errors": 1, "p50": "0.020s", "p95": "0.050s"},
            {"variant": "old", "calls": 9, "agreement": 0.875},
        ],
    }
    mesh.replies["GetTrafficPolicy"] = ParseDict({"policy": policy}, traffic_pb2.GetTrafficPolicyResponse())
    out = maas("graph", "traffic", "get", "a.B/C").stdout
    for told in (
        *("the default: 75%", "small: 25%", "old: shadow of 10%", "0.875"),
        "large: canary, rolled back: p95 was twice that of the others",
    ):
        assert told in out
    assert ["the", "default", "90", "1", "20", "ms", "50", "ms"] in [line.split() for line in out.splitlines()]
    mesh.replies["ListTrafficPolicies"] = ParseDict({"policies": [policy]}, traffic_pb2.ListTrafficPoliciesResponse())
    assert "a.B/C   the default: 75%" in maas("graph", "traffic", "list").stdout


@pytest.mark.parametrize("content", ["- a", "target: [", "targets: x", "target: x\nshares: {a: b}"])
def test_a_file_that_is_no_policy_is_wrong_usage(mesh: FakeMesh, maas: Maas, tmp_path: Path, content: str):
    """What is no YAML, or has other fields than a policy, is told, and nothing is called."""
    (tmp_path / "policy.yaml").write_text(content)
    result = maas("graph", "traffic", "set", "--file", str(tmp_path / "policy.yaml"))
    assert (result.exit_code, mesh.requests) == (2, [])
    # Without the frame and its line breaks, which a long path has in the middle.
    assert "policy.yaml" in re.sub(r"[\s│]", "", result.stderr)
