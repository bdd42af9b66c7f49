"""`maas cluster status`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import typer
from rich.table import Table
from rich.text import Text

from services.cli.cluster import tritons
from services.cli.cluster.connection import Cluster, ClusterError, opened
from services.cli.cluster.observed import Pod, Workload, workloads
from services.cli.cluster.options import NAMESPACE, Context, Json, Namespace
from services.cli.output import console, errors, table

_TRITON = "triton"
_AT_ONCE = 8


def status(*, context: Context = None, namespace: Namespace = NAMESPACE, as_json: Json = False) -> None:
    """Show the mesh on a cluster: rollouts, pods, models ready on each Triton, versions, and what went wrong last.

    Exit code 1: not everything is there and ready.
    """
    with opened(context, namespace) as cluster:
        found = workloads(cluster)
        models = _models(cluster, found)
    if as_json:
        print(json.dumps({"workloads": [asdict(each) for each in found], "models": models}, indent=2))
    elif not found:
        errors().print(
            f"namespace {namespace!r} of context {cluster.context!r} has no workload of the mesh; apply it with: "
            "kubectl apply -k deploy/k8s/overlays/dev"
        )
    else:
        console().print(_table(found, models))
    if not found or not all(each.well for each in found):
        raise typer.Exit(1)


def _models(cluster: Cluster, found: Iterable[Workload]) -> dict[str, str]:
    """How many models each Triton that runs serves, which of the others' it does not, or why it can't be asked."""
    pods = [pod.name for each in found if each.name == _TRITON for pod in each.pods if pod.phase == "Running"]

    def ask(pod: str) -> frozenset[str] | str:
        try:
            return tritons.serving(cluster, pod)
        except ClusterError as error:
            return str(error)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        told = dict(zip(pods, pool.map(ask, pods), strict=True))
    every = frozenset[str]().union(*(models for models in told.values() if not isinstance(models, str)))
    return {pod: said if isinstance(said, str) else _models_of(said, every) for pod, said in told.items()}


def _models_of(served: frozenset[str], every: frozenset[str]) -> str:
    without = ", ".join(sorted(every - served))
    return f"{len(served)} of {len(every)}, without {without}"[:200] if without else f"{len(served)}"


def _table(found: Iterable[Workload], models: Mapping[str, str]) -> Table:
    """A line a workload, and below it one for each pod that has something to tell: all of Triton's, else the sick."""
    made = table("workload", "ready", "rollout", "version", "restarts", "models", "last_error", right="restarts")
    for each in found:
        made.add_row(
            Text(each.name, "" if each.well else "red"),
            f"{each.ready}/{each.desired}",
            each.rollout,
            ", ".join(each.versions),
            str(sum(pod.restarts for pod in each.pods)),
            "",
            Text(each.trouble, "yellow"),
        )
        running = set(each.versions)
        for pod in each.pods:
            if pod.name not in models and not pod.trouble and pod.ready and set(pod.versions) == running:
                continue
            made.add_row(*_pod(pod, models.get(pod.name, "")))
    return made


def _pod(pod: Pod, models: str) -> tuple[str | Text, ...]:
    return (
        Text(f"  {pod.name}", "" if pod.ready else "red"),
        "yes" if pod.ready else "no",
        pod.phase.lower(),
        ", ".join(pod.versions),
        str(pod.restarts),
        models,
        Text(pod.trouble, "yellow"),
    )
