"""`maas cluster check`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from services.cli.cluster.check import capacity, server
from services.cli.cluster.check.finding import Finding, State
from services.cli.cluster.check.manifests import Manifests, read
from services.cli.cluster.connection import Cluster, opened
from services.cli.cluster.options import NAMESPACE, Context, Json, Namespace
from services.cli.output import console, table

_STYLES = {State.OK: "green", State.UNKNOWN: "yellow", State.WARNING: "yellow", State.MISSING: "bold red"}


def check(
    manifests: Annotated[
        str, typer.Argument(metavar="FOLDER|FILE", help="A kustomization, or manifests that are rendered already.")
    ] = "deploy/k8s/overlays/dev",
    *,
    context: Context = None,
    namespace: Namespace = NAMESPACE,
    as_json: Json = False,
) -> None:
    """Tell whether a cluster can take these manifests, and change nothing: run it before kubectl apply -k.

    Looked at: the server, your permissions, the kinds that components need, nodes and GPUs, storage classes, quota,
    and the Secrets that you must have made. Exit code 1: something is missing.
    """
    with opened(context, namespace) as cluster:
        found = list(_findings(cluster, read(manifests)))
    if as_json:
        print(json.dumps([asdict(each) for each in found], indent=2))
    else:
        made = table("", "what", "")
        for each in found:
            made.add_row(Text(each.state, _STYLES[each.state]), each.subject, each.words)
        console().print(made)
    if any(each.state is State.MISSING for each in found):
        raise typer.Exit(1)


def _findings(cluster: Cluster, manifests: Manifests) -> Iterator[Finding]:
    yield server.version(cluster)
    known = server.resources(cluster, manifests)
    yield from server.kinds(manifests, known)
    yield from server.permissions(cluster, known)
    yield from server.metrics(cluster, manifests)
    yield from capacity.nodes(cluster, manifests)
    yield from capacity.storage(cluster, manifests)
    yield from capacity.quota(cluster, manifests)
    yield from capacity.references(cluster, manifests.missing)
