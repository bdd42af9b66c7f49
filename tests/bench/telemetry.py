"""What telemetry costs: the same calls to a service that records traces and to one that does not, in one run.

Run it with `make bench-telemetry`. Two nlp services with preprocessing in their own processes stand before one Triton:
one exports its spans to the local tracing UI, the other has no collector. They are asked in turn, so that noise of the
machine hits both alike: read the ratios. The recording one is asked a third way too: by callers whose trace context
says that nothing is recorded. Metrics and logs are on in all of them.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc.aio
import typer
import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich.console import Console
from rich.table import Table

from deploy.local.processes import processes
from deploy.local.settings import LocalSettings, settings_for
from maas.nlp.v1 import nlp_pb2, nlp_pb2_grpc
from services.cli.up import running_mesh

SENTENCE = "The acting is superb and the story stays with you for days."
START_SECONDS = 120

Ask = Callable[[], Awaitable[object]]


@asynccontextmanager
async def nlp(settings: LocalSettings, *, traces: bool) -> AsyncIterator[nlp_pb2_grpc.NlpServiceAsyncStub]:
    """A service of its own beside the mesh's."""
    own = settings.model_copy(update={"traces": traces, "preprocessing": "in-process"})
    (process,) = [each for each in processes(own) if each.name == "nlp"]
    port = free_port()
    environment = {
        **os.environ,
        **process.environment,
        "NLP_LISTEN_ADDRESS": f"127.0.0.1:{port}",
        "NLP_METRICS_ADDRESS": f"127.0.0.1:{free_port()}",
        "NLP_CACHE_BYTES": "0",
        "NLP_LOG_FORMAT": "json",
    }
    running = subprocess.Popen(  # noqa: ASYNC220 - once, before anything is measured
        process.command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await _until_ready(channel)
            yield nlp_pb2_grpc.NlpServiceStub(channel)
    finally:
        running.terminate()
        running.wait(60)


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def _until_ready(channel: grpc.aio.Channel) -> None:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                answer = await stub.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.2)
                continue
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return
            await asyncio.sleep(0.2)


def asking(stub: nlp_pb2_grpc.NlpServiceAsyncStub, flags: str) -> Ask:
    """A call of its own each time. flags: "01", "00", or "" for no trace context."""
    numbers = itertools.count()

    def ask() -> Awaitable[object]:
        request = nlp_pb2.AnalyzeSentimentRequest(contents=[f"{SENTENCE} {next(numbers)}"], language_code="en")
        context = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-{flags}"
        return stub.AnalyzeSentiment(request, timeout=60, metadata=(("traceparent", context),) if flags else ())

    return ask


async def alone(asks: dict[str, Ask], rounds: int) -> dict[str, float]:
    """Median seconds of a single caller of each, asked in turn."""
    times: dict[str, list[float]] = {name: [] for name in asks}
    for _ in range(rounds):
        for name, ask in asks.items():
            began = time.perf_counter()
            await ask()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(each) for name, each in times.items()}


async def together(asks: dict[str, Ask], callers: int, calls: int, turns: int) -> dict[str, float]:
    """Calls a second of each with that many callers: the median of several turns."""

    async def caller(ask: Ask) -> None:
        for _ in range(calls // callers):
            await ask()

    rates: dict[str, list[float]] = {name: [] for name in asks}
    for _ in range(turns):
        for name, ask in asks.items():
            began = time.perf_counter()
            await asyncio.gather(*(caller(ask) for _ in range(callers)))
            rates[name].append(calls // callers * callers / (time.perf_counter() - began))
    return {name: statistics.median(each) for name, each in rates.items()}


async def measure(settings: LocalSettings, rounds: int, callers: int) -> Table:
    """All three ways, alone and under load."""
    async with AsyncExitStack() as stack:
        silent = await stack.enter_async_context(nlp(settings, traces=False))
        recording = await stack.enter_async_context(nlp(settings, traces=True))
        asks = {
            "off": asking(silent, ""),
            "on, every call recorded": asking(recording, "01"),
            "on, the caller records nothing": asking(recording, "00"),
        }
        await alone(asks, 20)
        p50 = await alone(asks, rounds)
        rates = await together(asks, callers, rounds, turns=5)
    table = Table(title=f"AnalyzeSentiment, {rounds} rounds, then {callers} callers at once")
    for column in ("traces", "p50", "ratio", "calls/s", "ratio"):
        table.add_column(column, justify="right", no_wrap=True)
    for name in asks:
        table.add_row(
            name,
            f"{p50[name] * 1000:.2f} ms",
            f"{p50[name] / p50['off']:.3f}",
            f"{rates[name]:.0f}",
            f"{rates[name] / rates['off']:.3f}",
        )
    return table


def main(port: int = 8200, rounds: int = 300, callers: int = 8) -> None:
    """Start a mesh with the tracing UI, and measure beside it."""
    settings = settings_for(port, traces=True)
    with running_mesh(settings, threading.Event()):
        Console().print(uvloop.run(measure(settings, rounds, callers)))


if __name__ == "__main__":
    typer.run(main)
