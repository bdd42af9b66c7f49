"""A group of commands that lists when it is told nothing else."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class ListByDefault(TyperGroup):
    """`maas models` and `maas models NAME` list, as if `list` stood before what follows."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # typer brings a click of its own
        """What click makes of the arguments."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)
