"""Options that every command about a cluster takes."""

from __future__ import annotations

from typing import Annotated

import typer

Context = Annotated[
    str | None, typer.Option("--context", help="Of the kubeconfig; without it the current one, as kubectl.")
]
Namespace = Annotated[
    str, typer.Option("--namespace", "-n", envvar="MAAS_NAMESPACE", help="Where the mesh was applied.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]

NAMESPACE = "maas"
