"""`maas status`: the processes of the mesh on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from deploy.local.health import Probe
from deploy.local.lock import holder
from deploy.local.proc import resident_bytes
from deploy.local.processes import TWIN, processes, twins
from deploy.local.settings import settings_for
from deploy.local.supervision import Supervisor, SupervisorGone
from services.cli import output

_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Row:
    """One process."""

    process: str
    pid: int
    state: str
    health: str
    ready: bool
    port: int
    uptime_seconds: float
    resident_bytes: int


def status(
    port: Annotated[int | None, typer.Option(envvar="MAAS_PORT", help="The mesh's port; 8080 without it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")] = False,
) -> None:
    """Show the processes of the mesh: state, health, memory. Exit code 1: not every one is ready.

    While `maas restart` replaces a process, its twin, which then serves, is shown as well.
    """
    found = rows(port)
    if as_json:
        print(json.dumps([asdict(row) for row in found], indent=2))
    elif not found:
        output.errors().print("no mesh runs here; start it with: maas up")
    else:
        table = output.table(
            "process", "pid", "state", "uptime_s", "memory_MiB", "health", "port", right="pid uptime_s memory_MiB port"
        )
        for row in found:
            table.add_row(
                row.process, str(row.pid or ""), row.state.lower(), f"{row.uptime_seconds:.0f}",
                f"{row.resident_bytes / _MEBIBYTE:.0f}", row.health, str(row.port),
            )  # fmt: skip
        output.console().print(table)
    if not found or not all(row.ready for row in found if not row.process.endswith(TWIN)):
        raise typer.Exit(1)


def rows(port: int | None) -> list[Row]:
    """Every process of the mesh on that port; none when it does not run."""
    settings = settings_for(port)
    running = holder(settings.run)
    if running is None:
        return []
    settings = settings.model_copy(update={"traces": running.traces, "port": running.port})
    ports = {process.name: process.port for process in (*processes(settings), *twins(settings))}
    try:
        states = Supervisor(settings.run).states()
    except SupervisorGone:
        return []
    with Probe(settings) as probe:
        health = probe.ask([state.name for state in states])
    return [
        Row(
            process=state.name,
            pid=state.pid,
            state=state.state,
            health=health[state.name].words,
            ready=health[state.name].ready,
            port=ports[state.name],
            uptime_seconds=round(state.uptime_seconds, 1),
            resident_bytes=resident_bytes(state.pid) if state.pid else 0,
        )
        for state in states
    ]
