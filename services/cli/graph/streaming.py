"""`maas graph stream`: a graph whose outputs come while its inputs are still being sent."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.table import Table
from rich.text import Text

from maas.router.v1 import router_pb2 as pb
from services.cli import values
from services.cli.client import connect
from services.cli.graph.keeping import fetch
from services.cli.graph.options import SERVICE, Inputs, Key, Name, Saves, saved
from services.cli.graph.outcome import outcome
from services.cli.graph.sources import sources
from services.cli.options import Address, Json, Timeout
from services.cli.output import clock, console, milliseconds, table, to_json
from services.cli.sounds import close_wav, opened

# Of something that lasts as long as somebody speaks.
_STREAM_SECONDS = 3600.0

Streams = Annotated[
    list[str] | None,
    typer.Option(
        "--stream",
        "-s",
        metavar="NAME=...",
        help="NAME=@FILE: a file in pieces, of texts and numbers a line each; @- is standard input. NAME=TEXT: one "
        "item. Repeat.",
    ),
]


def stream(
    name: Name,
    *,
    address: Address,
    inputs: Inputs = None,
    streams: Streams = None,
    saves: Saves = None,
    live: Annotated[
        bool, typer.Option("--live", help="Send sound and video files as fast as they play, as a microphone would.")
    ] = False,
    key: Key = "",
    timeout: Timeout = _STREAM_SECONDS,
    as_json: Json = False,
) -> None:
    """Run a graph on streams: maas graph stream speak-across-languages -s sound=@talk.wav --save audio=out.wav.

    What it gives is printed as it comes, with the time since the start; with --json, a line a message. Standard input
    may be a program that records. Ctrl-C cancels the graph.
    """
    config = pb.StreamingRunGraphConfig(graph=name, inputs=values.parse(inputs or []), routing_key=key)
    files = saved(saves)
    with ExitStack() as stack, connect(address, timeout) as mesh:
        graph = fetch(mesh, name).graph
        found = sources(graph, streams or [], live=live)
        outputs = {output: Received(output) for output, given in sorted(graph.outputs.items()) if given.each}
        for output, path in files.items():
            if output not in outputs:
                raise typer.BadParameter(f"{output} is no output of {name} that streams", param_hint="--save")
            outputs[output].path, outputs[output].file = path, stack.enter_context(opened(path))
        began = time.perf_counter()
        wrong: list[typer.BadParameter] = []
        requests = _requests(config, found, wrong)
        with mesh.converse(f"{SERVICE}/StreamingRunGraph", requests, pb.StreamingRunGraphResponse) as answers:
            for answer in answers:
                passed = time.perf_counter() - began
                if as_json:
                    print(to_json(answer, on_one_line=True), flush=True)
                if answer.HasField("item"):
                    outputs.setdefault(answer.item.name, Received(answer.item.name)).add(answer.item.value, passed)
                    if not as_json and not answer.item.value.data:
                        _print(answer.item, passed)
                elif not as_json:
                    console().print("", _received(outputs.values()), "", outcome(answer.end), sep="\n")
        for received in outputs.values():
            received.close()
        if wrong:
            raise wrong[0]


@dataclass
class Received:
    """What came of an output. first: seconds from the start to its first item."""

    name: str
    path: Path | None = None
    file: BinaryIO | None = None
    items: int = 0
    bytes: int = 0
    first: float = 0.0

    def add(self, value: pb.Value, passed: float) -> None:
        """Count an item, and write it when it is data."""
        self.first = self.first or passed
        self.items += 1
        self.bytes += len(value.data)
        if self.file:
            self.file.write(value.data)
            self.file.flush()

    def close(self) -> None:
        """Complete a WAV file, which began before its length was known."""
        if self.file and self.path and self.path.suffix.lower() == ".wav":
            close_wav(self.file)


def _requests(
    config: pb.StreamingRunGraphConfig, found: dict[str, Iterator[pb.Value]], wrong: list[typer.BadParameter]
) -> Iterator[pb.StreamingRunGraphRequest]:
    """The configuration, then the streams, an item of each in turn. One that cannot be sent ends all."""
    yield pb.StreamingRunGraphRequest(config=config)
    while found:
        for name, items in list(found.items()):
            try:
                value = next(items, None)
            except typer.BadParameter as error:
                wrong.append(error)
                return
            if value is None:
                del found[name]
                yield pb.StreamingRunGraphRequest(end_of_input=pb.EndOfInput(name=name))
            else:
                yield pb.StreamingRunGraphRequest(item=pb.StreamItem(name=name, value=value))


def _print(item: pb.StreamItem, passed: float) -> None:
    """A text behind the time and its name; a message below them."""
    head = Text.assemble((f"{clock(passed):>7}  ", "cyan"), (f"{item.name}  ", "dim"))
    shown = values.readable(item.value)
    if isinstance(shown, str):
        console().print(head.append(shown, "default"))
    else:
        console().print(head, shown, sep="\n")


def _received(outputs: Iterable[Received]) -> Table:
    """A line an output that streams: how much came, and when its first item did."""
    made = table("stream", "items", "first after", "bytes", "file", right="items bytes")
    for each in outputs:
        size = f"{each.bytes:,}" if each.bytes else ""
        first = milliseconds(each.first) if each.items else ""
        made.add_row(each.name, str(each.items), first, size, str(each.path or ""))
    return made
