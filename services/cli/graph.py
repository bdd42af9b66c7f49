"""`maas graph`: typed services composed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from maas.router.v1 import router_pb2 as pb
from services.cli import values
from services.cli.client import connect
from services.cli.models import graphs_table
from services.cli.options import TIMEOUT_SECONDS, Address, Json, Timeout, write
from services.cli.output import milliseconds, seconds, show, span, table

app = typer.Typer(no_args_is_help=True, help="Typed services composed into graphs.")
_SERVICE = "maas.router.v1.RouterService"

Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        "-i",
        metavar="NAME=...",
        help="NAME=TEXT: a text. NAME=@FILE: a file's bytes; @- reads standard input. NAME:=JSON: a number, true, "
        "false or a list.",
    ),
]

Saves = Annotated[
    list[str] | None,
    typer.Option(
        "--save", metavar="OUTPUT=FILE", help="Write an output that is data, a sound for instance, to a file."
    ),
]


@app.command()
def run(
    name: Annotated[str, typer.Argument(metavar="GRAPH", help="Which graph; `maas graph list` lists them.")],
    *,
    address: Address,
    inputs: Inputs = None,
    saves: Saves = None,
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Run a graph: maas graph run look-twice --input photo=@dog.jpg."""
    request = pb.RunGraphRequest(graph=name, inputs=values.parse(inputs or []))
    files = dict(_saved(each) for each in saves or [])
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{_SERVICE}/RunGraph", request, pb.RunGraphResponse)
        for output, path in files.items():
            if answer.outputs[output].WhichOneof("kind") != "data":
                raise typer.BadParameter(f"{output} is no output of {name} that is data", param_hint="--save")
            write(path, answer.outputs[output].data)
        show(answer, outcome(answer), as_json=as_json)


@app.command("list")
def listing(*, address: Address, timeout: Timeout = TIMEOUT_SECONDS, as_json: Json = False) -> None:
    """List the graphs: what each takes and gives. With --json: all that the mesh can do."""
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{_SERVICE}/ListCapabilities", pb.ListCapabilitiesRequest(), pb.ListCapabilitiesResponse)
        show(answer, graphs_table(answer.graphs), as_json=as_json)


def _saved(text: str) -> tuple[str, Path]:
    output, sign, path = text.partition("=")
    if not (output and sign and path):
        raise typer.BadParameter(f"{text!r} is not OUTPUT=FILE", param_hint="--save")
    return output, Path(path)


def outcome(answer: pb.RunGraphResponse) -> RenderableType:
    """The simple outputs, a line each; the lists and messages under their names; what each node did and when."""
    simple = table("output", "value")
    parts: list[RenderableType] = [simple, ""]
    for name, value in sorted(answer.outputs.items()):
        if value.WhichOneof("kind") in ("list", "message"):
            parts += [Text(name, "bold"), values.readable(value), ""]
        else:
            simple.add_row(name, values.readable(value))
    return Group(*parts[0 if simple.row_count else 2 :], timeline(answer.nodes))


def timeline(nodes: Sequence[pb.NodeRun], width: int = 28) -> Table:
    """A line a node: when it ran, as a bar from the graph's start to its end, and how long."""
    whole = max((seconds(node.end_offset) for node in nodes), default=0.0) or 1.0
    made = table("node", "method", f"0 to {milliseconds(whole)}", "took", right="took")
    for node in nodes:
        begin, end = seconds(node.start_offset), seconds(node.end_offset)
        line = span(begin / whole, end / whole, width)
        made.add_row(node.node, node.method.rpartition("/")[2], line, milliseconds(end - begin))
    return made
