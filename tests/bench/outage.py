"""Calls that fail when one of two replicas of a service is killed at load, by what the graph's nodes do about it.

A second preprocessing and a second router of its own run beside the mesh; that router has both as one upstream.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich.table import Table

from deploy.local.processes import processes
from deploy.local.settings import LocalSettings
from maas.router.v1 import graph_pb2, router_pb2, router_pb2_grpc

if TYPE_CHECKING:
    from maas.router.v1.router_pb2_grpc import RouterServiceAsyncStub

CALLERS, SECONDS, KILLED_AFTER = 16, 6.0, 2.0
PREPROCESSING = "maas.preprocessing.v1.PreprocessingService"
NODE = "{node: tidy, call: %s/NormalizeText, request: {contents: '[inputs.text]'}, %%s}" % PREPROCESSING  # noqa: UP031 - braces
OTHER = "{node: judge, call: maas.nlp.v1.NlpService/AnalyzeSentiment, request: {contents: '[inputs.text]'}}"
RETRYING = NODE % "retry: {attempts: 3}"
ALONE = NODE % "retry: {attempts: 1}"
HEDGED = NODE % "retry: {attempts: 1}, hedge: {after: 0.05s, percentile: 0.95, share: 0.5}"
FALLBACK = (
    "{node: either, fallback: [{run: %s, gives: size(tidy.contents)}, {run: %s, gives: size(judge.results)}]}"  # noqa: UP031
    % (ALONE, OTHER)
)
WAYS = {"nothing": ALONE, "hedging": HEDGED, "fallback to another service": FALLBACK, "retry, the default": RETRYING}


def graph(name: str, run: str) -> str:
    """A graph of one node."""
    return (
        f"name: {name}\nsummary: For measuring.\ninputs: {{text: {{kind: text, summary: A text.}}}}\nrun: {run}\n"
        f"outputs: {{done: {{value: '{'either' if 'either' in run else 'size(tidy.contents)'}', summary: Done.}}}}\n"
    )


async def keep(router: RouterServiceAsyncStub, yaml: str) -> None:
    """Create a graph, or replace the one of an earlier run."""
    try:
        await router.CreateGraph(graph_pb2.CreateGraphRequest(yaml=yaml), timeout=10)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
            raise
        await router.UpdateGraph(graph_pb2.UpdateGraphRequest(yaml=yaml), timeout=10)


@asynccontextmanager
async def started(
    name: str, settings: LocalSettings, port: int, **changed: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A further process of a service, ready, at a port of its own."""
    found = next(each for each in processes(settings) if each.name == name)
    environment = {
        **os.environ,
        **found.environment,
        # A line a call would be all that is seen.
        f"{name.upper()}_LOG_LEVEL": "warning",
        f"{name.upper()}_LISTEN_ADDRESS": f"127.0.0.1:{port}",
        f"{name.upper()}_METRICS_ADDRESS": f"127.0.0.1:{port + 1}",
        **changed,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"services.{name}", env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel, asyncio.timeout(60):
            request = health_pb2.HealthCheckRequest(service=PREPROCESSING)
            async for answer in health_pb2_grpc.HealthStub(channel).Watch(request, wait_for_ready=True):
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    break
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def under_load(router: grpc.aio.Channel, name: str, victim: asyncio.subprocess.Process) -> Counter[str]:
    """Outcomes of calls while a process is killed in their midst."""
    stub, outcomes, stop = router_pb2_grpc.RouterServiceStub(router), Counter[str](), asyncio.Event()
    request = router_pb2.RunGraphRequest(graph=name, inputs={"text": router_pb2.Value(text="What a lovely day.")})

    async def caller() -> None:
        while not stop.is_set():
            try:
                await stub.RunGraph(request, timeout=5)
                outcomes["OK"] += 1
            except grpc.aio.AioRpcError as error:
                outcomes[error.code().name] += 1

    callers = [asyncio.create_task(caller()) for _ in range(CALLERS)]
    await asyncio.sleep(KILLED_AFTER)
    victim.send_signal(signal.SIGKILL)
    await asyncio.sleep(SECONDS - KILLED_AFTER)
    stop.set()
    await asyncio.gather(*callers)
    return outcomes


async def outage(settings: LocalSettings) -> Table:
    """Each way in turn, with a replica of its own to be killed."""
    first = settings.ports.gateway + 40
    table = Table(title=f"One of two replicas of a service killed at load, {CALLERS} callers for {SECONDS:g} s")
    for column in ("the node's policy", "calls", "failed", "share"):
        table.add_column(column, justify="right")
    for number, (name, run) in enumerate(WAYS.items()):
        port = first + 10 * number
        both = f"ipv4:127.0.0.1:{settings.ports.preprocessing},127.0.0.1:{port}"
        router = {
            "ROUTER_PREPROCESSING_ADDRESS": both,
            "ROUTER_STORE_URL": f"sqlite:///{settings.run}/bench-{port}.sqlite",
        }
        async with (
            started("preprocessing", settings, port) as victim,
            started("router", settings, port + 4, **router),
            grpc.aio.insecure_channel(f"127.0.0.1:{port + 4}") as channel,
        ):
            stub = router_pb2_grpc.RouterServiceStub(channel)
            await keep(stub, graph(f"way-{number}", run))
            outcomes = await under_load(channel, f"way-{number}", victim)
        failed = outcomes.total() - outcomes["OK"]
        table.add_row(name, str(outcomes.total()), str(failed), f"{failed / outcomes.total():.2%}")
    return table
