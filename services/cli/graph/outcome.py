"""What a run of a graph gave and did, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import grpc
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from maas.router.v1 import router_pb2 as pb
from services.cli import values
from services.cli.output import milliseconds, seconds, span, table


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
    """A line a node: when it ran, as a bar from the graph's start to its end, how long, and what was unusual."""
    whole = max((seconds(node.end_offset) for node in nodes), default=0.0) or 1.0
    notes = [Text(", ").join(_notes(node)) for node in nodes]
    made = table(
        "node", "method", f"0 to {milliseconds(whole)}", "took", *(["notes"] if any(notes) else []), right="took"
    )
    for node, note in zip(nodes, notes, strict=True):
        begin, end = seconds(node.start_offset), seconds(node.end_offset)
        line = span(begin / whole, end / whole, width)
        more = [note] if any(notes) else []
        made.add_row(node.node, node.method.rpartition("/")[2], line, milliseconds(end - begin), *more)
    return made


def _notes(node: pb.NodeRun) -> Iterator[Text]:
    """What a person wants to know of a node besides its time."""
    if node.HasField("status"):
        code = next((code.name for code in grpc.StatusCode if code.value[0] == node.status.code), str(node.status.code))
        yield Text(f"failed: {code}: {node.status.message}", "red")
    if node.runs > 1:
        yield Text(f"{node.runs} runs", "dim")
    if node.extra_calls:
        yield Text(f"{node.extra_calls} extra call{'s' if node.extra_calls > 1 else ''}", "yellow")
    if node.cached:
        yield Text(f"{node.cached} cached", "dim")
