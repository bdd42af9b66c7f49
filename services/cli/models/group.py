"""`maas models`: what the mesh can do, and how another version of a model takes over."""

from __future__ import annotations

import typer

from services.cli.by_default import ListByDefault
from services.cli.models import listing
from services.cli.models.feedback import feedback
from services.cli.models.rollout import rollout
from services.cli.models.rollouts import rollouts, versions

app = typer.Typer(cls=ListByDefault, help="The models of the mesh. Without a command: list them.")
app.command("list")(listing.models)
app.command()(versions)
app.command()(rollout)
app.command()(rollouts)
app.command()(feedback)
