"""`maas graph run`: a graph to its end."""

from __future__ import annotations

import typer

from maas.router.v1 import router_pb2 as pb
from services.cli import values
from services.cli.client import connect
from services.cli.graph.options import SERVICE, Inputs, Key, Name, Saves, saved
from services.cli.graph.outcome import outcome
from services.cli.options import TIMEOUT_SECONDS, Address, Json, Timeout, write
from services.cli.output import show


def run(
    name: Name,
    *,
    address: Address,
    inputs: Inputs = None,
    saves: Saves = None,
    key: Key = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Run a graph: maas graph run look-twice --input photo=@dog.jpg."""
    request = pb.RunGraphRequest(graph=name, inputs=values.parse(inputs or []), routing_key=key)
    files = saved(saves)
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/RunGraph", request, pb.RunGraphResponse)
        for output, path in files.items():
            content = _content(answer.outputs.get(output, pb.Value()))
            if content is None:
                raise typer.BadParameter(f"{output} is no output of {name} that is data", param_hint="--save")
            write(path, content)
        show(answer, outcome(answer), as_json=as_json)


def _content(value: pb.Value) -> bytes | None:
    """The bytes of an output: data, or a list of data one after the other; None of anything else."""
    kind = value.WhichOneof("kind")
    if kind == "list" and all(each.WhichOneof("kind") == "data" for each in value.list.values):
        return b"".join(each.data for each in value.list.values)
    return value.data if kind == "data" else None
