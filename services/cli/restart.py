"""`maas restart`: replaces processes of the mesh on this machine without losing a call."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.local.lock import holder
from deploy.local.restart import CannotRestart, replaceable, restarting
from deploy.local.settings import settings_for
from deploy.local.supervision import SupervisorGone
from services.cli import output


def restart(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[PROCESS]...", help="As `maas status` names them; all without any.")
    ] = None,
    port: Annotated[int | None, typer.Option(envvar="MAAS_PORT", help="The mesh's port; 8080 without it.")] = None,
) -> None:
    """Replace processes one at a time, without losing a call.

    A second instance of each serves while the first stops and starts, so that its memory is needed twice. Calls in
    flight may finish for as long as when the mesh stops (MAAS_DRAIN_SECONDS when it was started).
    """
    settings = settings_for(port)
    running = holder(settings.run)
    if running is None:
        output.errors().print("no mesh runs here; start it with: maas up")
        raise typer.Exit(1)
    settings = settings.model_copy(update={"traces": running.traces, "port": running.port})
    wanted = names or replaceable(settings)
    try:
        with restarting(settings, wanted, output.console().print) as replace:
            for name in wanted:
                replace(name)
    except (CannotRestart, SupervisorGone) as error:
        output.errors().print(f"maas restart: {error}", style="red")
        raise typer.Exit(1) from None
