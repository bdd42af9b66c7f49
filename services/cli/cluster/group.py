"""`maas cluster`: the mesh on Kubernetes. For logs and port-forwards kubectl is as good, so they are not here."""

from __future__ import annotations

import typer

from services.cli.by_default import ListByDefault
from services.cli.cluster import models
from services.cli.cluster.check.command import check
from services.cli.cluster.status import status

_models = typer.Typer(cls=ListByDefault, help="The versions that each Triton serves. Without a command: list them.")
_models.command("list")(models.listing)
_models.command("load")(models.load)
_models.command("unload")(models.unload)

app = typer.Typer(no_args_is_help=True, help="The mesh on Kubernetes, by the current kubeconfig.")
app.command("status")(status)
app.command("check")(check)
app.add_typer(_models, name="models")
