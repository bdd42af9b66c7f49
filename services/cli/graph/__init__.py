"""`maas graph`: typed services composed."""

from __future__ import annotations

import typer

from services.cli.graph import checking, keeping, running, streaming, traffic

_RUN, _WRITE, _KEEP = "Run", "Write", "Keep in the mesh"

app = typer.Typer(
    no_args_is_help=True,
    help="Typed services composed into graphs.\n\nA FILE is a graph's YAML. A GRAPH is the name of one that the mesh "
    "has, or NAME@VERSION.",
)
for panel, found in (
    (_RUN, (running.run, streaming.stream)),
    (_WRITE, (checking.validate, checking.show)),
    (_KEEP, (keeping.get, keeping.create, keeping.update, keeping.delete)),
):
    for each in found:
        app.command(rich_help_panel=panel)(each)
app.command("list", rich_help_panel=_KEEP)(keeping.listing)
app.add_typer(traffic.app, name="traffic", rich_help_panel=_KEEP)
