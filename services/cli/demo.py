"""`maas demo`: a real photo, real recordings and real sentences through the whole mesh."""

from __future__ import annotations

import sys
import threading
from typing import Annotated

import typer

from deploy.local.lock import AlreadyRunning
from deploy.local.mesh import CannotStart
from deploy.local.ports import Ports, address
from deploy.local.settings import LocalSettings, settings_for
from deploy.local.supervision import SupervisorGone
from services.cli import tour, traces
from services.cli.client import connect
from services.cli.output import console, errors
from services.cli.stage import Interrupted, Stage
from services.cli.try_next import goodbye
from services.cli.up import follow, on_signals, running_mesh

# Enough for a recording on a machine that is busy with something else.
_CALL_SECONDS = 120.0


def demo(
    port: Annotated[
        int | None, typer.Option(envvar="MAAS_PORT", help="Of the mesh's gateway. 8080 without it.")
    ] = None,
    up: Annotated[bool, typer.Option("--up", help="Start the mesh first, and stop it afterwards.")] = False,
    keep: Annotated[
        bool | None,
        typer.Option(help="With --up: keep it running until Ctrl-C. On a terminal it does so anyway."),
    ] = None,
) -> None:
    """Send a photo, recordings and sentences through the mesh, and show answers, times and a trace."""
    settings = settings_for(port, traces=True)
    if not (settings.build / "samples").is_dir():
        errors().print(f"{settings.build / 'samples'} is missing; make it with: make models", style="red")
        raise typer.Exit(1)
    try:
        if up:
            # Who looks on wants to open the trace; a script wants the end.
            looks_on = sys.stdin.isatty() and sys.stdout.isatty()
            _with_its_own_mesh(settings, keep=looks_on if keep is None else keep)
        else:
            _tour(settings, threading.Event(), "")
    except (CannotStart, SupervisorGone) as error:
        errors().print(f"maas demo: {error}", style="red")
        raise typer.Exit(1) from None
    except Interrupted:
        raise typer.Exit(130) from None


def _with_its_own_mesh(settings: LocalSettings, *, keep: bool) -> None:
    """Start the mesh, show it, and stop it; a mesh that already runs on that port is shown and left as it is."""
    stop = threading.Event()
    with on_signals(stop):
        try:
            with running_mesh(settings, stop) as mesh:
                _tour(settings, stop, "" if keep else "The mesh stops now. Start it again, to try these, with: make up")
                if keep:
                    follow(mesh, stop)
        except AlreadyRunning:
            console().print(f"A mesh already runs on {address(settings.port)}: this is it.")
            _tour(settings, stop, "")


def _tour(settings: LocalSettings, stop: threading.Event, last_words: str) -> None:
    where = address(settings.port)
    ui = traces.ui_of(where)
    collector = f"http://{address(Ports.from_base(settings.port).tracing_grpc)}" if ui else ""
    kept = settings.build / "demo"
    kept.mkdir(parents=True, exist_ok=True)
    out = console()
    with connect(where, _CALL_SECONDS, quiet=True, collector=collector) as mesh:
        stage = Stage(mesh, samples=settings.build / "samples", kept=kept, out=out, stop=stop)
        tour.run(stage, ui)
    goodbye(out, where, ui, settings.build)
    if last_words:
        out.print(last_words)
