"""`maas graph list`, `get`, `create`, `update` and `delete`: the graphs that a mesh keeps."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from google.protobuf.json_format import MessageToDict
from rich.table import Table
from rich.text import Text

from maas.router.v1 import graph_pb2 as pb
from services.cli.client import Mesh, connect
from services.cli.graph.options import SERVICE, Etag, File, Name
from services.cli.options import TIMEOUT_SECONDS, Address, Json, Timeout, write
from services.cli.output import show, table, to_json
from services.cli.texts import read_file

# Fields that are maps; in a request those inside are too.
_UNORDERED = ("inputs", "outputs", "request")
# What the mesh adds to a graph; its file has none of it.
_ADDED = ("version", "etag", "built_in", "create_time", "update_time", "versions")


def listing(*, address: Address, timeout: Timeout = TIMEOUT_SECONDS, as_json: Json = False) -> None:
    """List the graphs: what each takes and gives, and its version."""
    answer = pb.ListGraphsResponse()
    with connect(address, timeout) as mesh:
        while True:
            request = pb.ListGraphsRequest(page_token=answer.next_page_token)
            page = mesh.call(f"{SERVICE}/ListGraphs", request, pb.ListGraphsResponse)
            answer.graphs.extend(page.graphs)
            answer.next_page_token = page.next_page_token
            if not page.next_page_token:
                break
        show(answer, _table(answer.graphs), as_json=as_json)


def get(
    name: Name,
    *,
    address: Address,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where the YAML is written.")] = None,
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Print a graph as YAML, which create and update take: maas graph get look-twice --out mine.yaml."""
    with connect(address, timeout) as mesh:
        answer = fetch(mesh, name)
        text = to_yaml(answer.graph)
        if out:
            write(out, text.encode())
        if as_json:
            print(to_json(answer))
        elif not out:
            print(text, end="")


def create(file: File, *, address: Address, timeout: Timeout = TIMEOUT_SECONDS, as_json: Json = False) -> None:
    """Give the mesh a new graph: maas graph create mine.yaml."""
    request = pb.CreateGraphRequest(yaml=read_file(file))
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/CreateGraph", request, pb.CreateGraphResponse)
        show(answer, f"{answer.graph.name}: created, version {answer.graph.version}", as_json=as_json)


def update(
    file: File, *, address: Address, etag: Etag = "", timeout: Timeout = TIMEOUT_SECONDS, as_json: Json = False
) -> None:
    """Replace the graph of the same name; calls get the new version from then on."""
    request = pb.UpdateGraphRequest(yaml=read_file(file), etag=etag)
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/UpdateGraph", request, pb.UpdateGraphResponse)
        show(answer, f"{answer.graph.name}: updated, version {answer.graph.version}", as_json=as_json)


def delete(
    name: Name, *, address: Address, etag: Etag = "", timeout: Timeout = TIMEOUT_SECONDS, as_json: Json = False
) -> None:
    """Delete a graph with all its versions and its traffic policy."""
    with connect(address, timeout) as mesh:
        request = pb.DeleteGraphRequest(name=name, etag=etag)
        show(mesh.call(f"{SERVICE}/DeleteGraph", request, pb.DeleteGraphResponse), f"{name}: deleted", as_json=as_json)


def fetch(mesh: Mesh, name: str) -> pb.GetGraphResponse:
    """A graph of the mesh."""
    return mesh.call(f"{SERVICE}/GetGraph", pb.GetGraphRequest(name=name), pb.GetGraphResponse)


def to_yaml(graph: pb.Graph) -> str:
    """A graph as its file has it. Comments and the order of the file are not kept by the mesh."""
    document: dict[str, Any] = MessageToDict(graph, preserving_proto_field_name=True)
    kept = {name: value for name, value in document.items() if name not in _ADDED}
    return yaml.dump(_tidy(kept), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _tidy(value: Any, name: str = "") -> Any:
    """The same with whole numbers as such, and in order what protobuf keeps in none."""
    if isinstance(value, dict):
        names = sorted(value) if name in _UNORDERED else value
        return {each: _tidy(value[each], _UNORDERED[-1] if name == _UNORDERED[-1] else each) for each in names}
    if isinstance(value, list):
        return [_tidy(each, name) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _table(graphs: Iterable[pb.Graph]) -> Table:
    made = table("graph", "version", "about")
    for graph in graphs:
        takes = ", ".join(
            f"{name} ({given.kind}{' stream' if given.stream else ''})" for name, given in sorted(graph.inputs.items())
        )
        gives = ", ".join(f"{name}{' (stream)' if given.each else ''}" for name, given in sorted(graph.outputs.items()))
        facts = [f"takes {takes}" if takes else "takes nothing", f"gives {gives}"]
        if not graph.built_in:
            others = len(graph.versions) - 1
            facts.append("kept by this mesh" + (f", with {others} older versions" if others > 0 else ""))
        made.add_row(graph.name, graph.version, Text.assemble(graph.summary, "\n", ("\n".join(facts), "dim")))
    return made
