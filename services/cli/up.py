"""`maas up`: starts the whole mesh on this machine, watches it, and stops it in order."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from deploy.local import scraping
from deploy.local.lock import AlreadyRunning
from deploy.local.mesh import CannotStart, Mesh, prepared
from deploy.local.ports import address
from deploy.local.settings import LocalSettings, settings_for
from deploy.local.supervision import SupervisorGone
from deploy.local.watch import Watch
from services.cli import output

# How often processes are looked at: while something is on its way, and otherwise.
_BUSY_SECONDS, _CALM_SECONDS = 0.2, 1.0
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(
    port: Annotated[
        int | None, typer.Option(envvar="MAAS_PORT", help="Of the gateway; the others follow it. 8080 without it.")
    ] = None,
    traces: Annotated[bool, typer.Option(help="Record traces and start the tracing UI.")] = False,
) -> None:
    """Start the mesh, watch it, and stop it on Ctrl-C."""
    settings = settings_for(port, traces=traces)
    stop = threading.Event()
    with on_signals(stop):
        try:
            with running_mesh(settings, stop) as mesh:
                if not stop.is_set():
                    show_addresses(settings)
                    follow(mesh, stop)
        except (AlreadyRunning, CannotStart, SupervisorGone) as error:
            output.errors().print(f"maas up: {error}", style="red")
            raise typer.Exit(1) from None


@contextmanager
def on_signals(stop: threading.Event) -> Iterator[None]:
    """Set the event on Ctrl-C, SIGTERM and the end of the terminal, instead of dying."""

    def heard(_: int, __: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, heard) for number in _STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def running_mesh(settings: LocalSettings, stop: threading.Event) -> Iterator[Mesh]:
    """A mesh that is ready inside the block, and stopped after it.

    stop: when set, waiting ends and the block begins with a mesh that is not ready.
    Raises AlreadyRunning, and CannotStart with the last log lines of what failed.
    """
    console = output.console()
    with prepared(settings) as (mesh, lock):
        began = time.monotonic()
        try:
            mesh.start(lock)
            _wait_until_ready(mesh, stop, began)
            if not stop.is_set():
                console.print(f"ready after {time.monotonic() - began:.1f} s")
            yield mesh
        finally:
            console.print("stopping: the gateway finishes its calls, then the services, then Triton")
            began = time.monotonic()
            mesh.stop()
            console.print(f"stopped after {time.monotonic() - began:.1f} s")


def _wait_until_ready(mesh: Mesh, stop: threading.Event, began: float) -> None:
    console = output.console()
    watch = Watch(mesh)
    told: set[str] = set()
    with Live(console=console, transient=True, auto_refresh=False) as live:
        while not stop.is_set():
            for line in watch.look():
                console.print(line)
            took = time.monotonic() - began
            if console.is_terminal:
                live.update(_progress(watch, took), refresh=True)
            else:
                ready = {name for name, health in watch.health.items() if health.ready}
                for name in sorted(ready - told):
                    console.print(f"{name} is ready after {took:.1f} s")
                told = ready
            if watch.all_ready:
                return
            hopeless = watch.given_up() or mesh.misconfigured()
            if hopeless or took > mesh.settings.start_seconds:
                names = hopeless or [name for name, health in watch.health.items() if not health.ready]
                raise CannotStart(_failure(mesh, names, watch))
            stop.wait(_BUSY_SECONDS)


def _failure(mesh: Mesh, names: list[str], watch: Watch) -> str:
    """What failed, with the end of its log."""
    lines = [f"the mesh did not get ready because of {', '.join(names)}."]
    for name in names:
        lines.append(f"\n{name} ({watch.health[name].words}); the end of {mesh.supervisor.log(name)}:")
        lines += [f"  {line}" for line in mesh.supervisor.log_end(name)] or ["  (empty)"]
    return "\n".join(lines)


def _progress(watch: Watch, took: float) -> Table:
    table = output.table("process", "state", "health")
    for name, state in watch.states.items():
        health = watch.health[name]
        mark = Text("✓ ", style="green") if health.ready else Text("… ", style="yellow")
        table.add_row(name, state.state.lower() if state.pid else "waiting", mark.append(health.words, style="default"))
    table.caption = f"starting, {took:.0f} s"
    return table


def show_addresses(settings: LocalSettings) -> None:
    """Print where everything is."""
    ports = settings.ports
    table = output.table("what", "where")
    gateway = address(ports.gateway)
    table.add_row("gRPC and gRPC-Web", gateway)
    table.add_row("JSON", f"http://{gateway}/v1/capabilities")
    if settings.traces:
        table.add_row("traces", f"http://{address(ports.tracing_http)}/")
        # It is left out where the machine has none.
        if scraping.programs(settings.build):
            table.add_row("Prometheus", f"http://{address(ports.prometheus)}/")
    metrics = [
        ports.router_metrics,
        ports.preprocessing_metrics,
        ports.nlp_metrics,
        ports.vision_metrics,
        ports.speech_metrics,
        ports.models_metrics,
    ]
    table.add_row("metrics", f"http://{address(ports.triton_metrics)}/metrics (Triton)")
    table.add_row("", f"http://{address(ports.gateway_admin)}/stats/prometheus (gateway)")
    table.add_row("", f"http://{address(metrics[0])}/metrics to :{metrics[-1]} (services)")
    table.add_row("gateway's administration", f"http://{address(ports.gateway_admin)}/")
    table.add_row("logs", str(settings.logs))
    output.console().print(table)


def follow(mesh: Mesh, stop: threading.Event) -> None:
    """Say what happens to the processes until told to stop. Raises SupervisorGone."""
    console = output.console()
    console.print("Ctrl-C stops the mesh.")
    watch = Watch(mesh)
    while not stop.is_set():
        for line in watch.look():
            console.print(line)
        stop.wait(_CALM_SECONDS if watch.all_ready else _BUSY_SECONDS)
