"""`maas models`: what the mesh can do, and how another version of a model takes over."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from services.cli.models import listing
from services.cli.models.rollout import command


class _ListingByDefault(TyperGroup):
    """`maas models` and `maas models NAME` list, as if `list` stood before what follows."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # typer brings a click of its own
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_ListingByDefault, help="The models of the mesh. Without a command: list them.")
app.command("list")(listing.models)
app.command("rollout")(command.rollout)
