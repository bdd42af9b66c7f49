"""What the router adds: graphs beside direct calls, items through a stream, calls that fail when a service is killed.

Run it with `make bench-router`. Direct calls and graphs are asked in turn through one gateway, so that noise of the
machine hits both alike: read the ratios and differences, not the milliseconds.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc.aio
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from deploy.local.settings import LocalSettings, settings_for
from maas.preprocessing.v1 import preprocessing_pb2, preprocessing_pb2_grpc
from maas.router.v1 import router_pb2, router_pb2_grpc
from services.cli.up import running_mesh
from tests.bench.outage import keep, outage

TEXT = "  The   acting is superb and the story stays with you for days.  "
CALL = (
    "{{node: {name}, call: maas.preprocessing.v1.PreprocessingService/NormalizeText, request: {{contents: {value}}}}}"
)
ITEMS, ITEM_BYTES = 5000, 1000

Ask = Callable[[], Awaitable[object]]


def chain(nodes: int) -> str:
    """A graph of so many calls, each normalising what the one before did."""
    values = ["'[inputs.text]'", *(f"'[n{number}.contents[0]]'" for number in range(nodes - 1))]
    calls = ", ".join(CALL.format(name=f"n{number}", value=value) for number, value in enumerate(values))
    return f"""
name: bench-{nodes}
summary: For measuring.
inputs: {{text: {{kind: text, summary: A text.}}}}
run: {{sequence: [{calls}]}}
outputs: {{text: {{value: "n{nodes - 1}.contents[0]", summary: The text.}}}}
"""


THROUGH = """
name: bench-pass
summary: For measuring.
inputs: {text: {kind: text, stream: true, summary: Texts.}}
run: {stream: [{node: same, each: inputs.text, switch: [{when: "inputs.text != ''", gives: inputs.text}]}]}
outputs: {text: {each: same, value: same, summary: The texts.}}
"""


async def in_turn(asks: dict[str, Ask], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way to ask, a single caller, all in turn."""
    times: dict[str, list[float]] = {name: [] for name in asks}
    for _ in range(rounds):
        for name, ask in asks.items():
            began = time.perf_counter()
            await ask()
            times[name].append(time.perf_counter() - began)
    return times


async def overhead(channel: grpc.aio.Channel, rounds: int) -> Table:
    """A cheap call, directly and through graphs of one and of nine nodes."""
    stub = preprocessing_pb2_grpc.PreprocessingServiceStub(channel)
    router = router_pb2_grpc.RouterServiceStub(channel)
    for nodes in (1, 9):
        await keep(router, chain(nodes))

    def graph(nodes: int) -> Ask:
        inputs = {"text": router_pb2.Value(text=TEXT)}
        request = router_pb2.RunGraphRequest(graph=f"bench-{nodes}", inputs=inputs)
        return lambda: router.RunGraph(request, timeout=10)

    request = preprocessing_pb2.NormalizeTextRequest(contents=[TEXT])
    asks = {"direct": lambda: stub.NormalizeText(request, timeout=10), "1 node": graph(1), "9 nodes": graph(9)}
    await in_turn(asks, 50)
    times = await in_turn(asks, rounds)
    p50 = {name: statistics.median(each) * 1000 for name, each in times.items()}
    p99 = {name: statistics.quantiles(each, n=100)[98] * 1000 for name, each in times.items()}
    table = Table(title=f"NormalizeText through the gateway, {rounds} rounds in turn")
    for column in ("", "p50", "p99", "beyond the direct call: p50", "p99"):
        table.add_column(column, justify="right")
    for name in asks:
        over = (f"{p50[name] - p50['direct']:+.2f} ms", f"{p99[name] - p99['direct']:+.2f} ms")
        table.add_row(name, f"{p50[name]:.2f} ms", f"{p99[name]:.2f} ms", *over)
    table.add_row("a further node", f"{(p50['9 nodes'] - p50['1 node']) / 8:.2f} ms", "", "", "")
    return table


async def streaming(channel: grpc.aio.Channel) -> str:
    """Items a second through one node that passes them on."""
    router = router_pb2_grpc.RouterServiceStub(channel)
    await keep(router, THROUGH)

    async def requests() -> AsyncIterator[router_pb2.StreamingRunGraphRequest]:
        yield router_pb2.StreamingRunGraphRequest(config=router_pb2.StreamingRunGraphConfig(graph="bench-pass"))
        item = router_pb2.StreamItem(name="text", value=router_pb2.Value(text="x" * ITEM_BYTES))
        for _ in range(ITEMS):
            yield router_pb2.StreamingRunGraphRequest(item=item)

    began, seen = time.perf_counter(), 0
    async for answer in router.StreamingRunGraph(requests(), timeout=120):
        seen += answer.HasField("item")
    seconds = time.perf_counter() - began
    if seen != ITEMS:
        raise SystemExit(f"{ITEMS} items were sent and {seen} came back")
    return f"StreamingRunGraph, one node, {ITEMS} items of {ITEM_BYTES} bytes: {ITEMS / seconds:.0f} items a second"


async def measure(settings: LocalSettings, rounds: int) -> list[Table | str]:
    """All that is measured on a mesh that runs."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{settings.ports.gateway}") as channel:
        found: list[Table | str] = [await overhead(channel, rounds), await streaming(channel)]
    return [*found, await outage(settings)]


def main(port: int = 8200, rounds: int = 500) -> None:
    """Start a mesh, without traces, and measure its router."""
    base = settings_for(port)
    with running_mesh(base, threading.Event()):
        found = uvloop.run(measure(base, rounds))
    Console().print(*found, sep="\n")


if __name__ == "__main__":
    typer.run(main)
