"""`maas cluster models`: which version of which model each Triton serves; load and unload."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Annotated, TypeVar

import typer
from rich.table import Table
from rich.text import Text

from services.cli.cluster import tritons
from services.cli.cluster.connection import Absent, Cluster, ClusterError, opened
from services.cli.cluster.options import NAMESPACE, Context, Json, Namespace
from services.cli.output import console, table

_AT_ONCE = 8

Answer = TypeVar("Answer")
Name = Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model in Triton.")]
Replica = Annotated[
    str | None, typer.Option("--replica", metavar="POD", help="Only this Triton; without it: every one.")
]


def listing(*, context: Context = None, namespace: Namespace = NAMESPACE, as_json: Json = False) -> None:
    """Which versions of each model every Triton serves. Exit code 1: some model is ready on some of them only."""
    with opened(context, namespace) as cluster:
        found = _every(cluster, None, tritons.versions)
    if as_json:
        print(json.dumps({pod: [asdict(each) for each in versions] for pod, versions in found.items()}, indent=2))
    else:
        console().print(_table(found))
    if any(len(set(served.values())) > 1 or "" in served.values() for served in _served(found).values()):
        raise typer.Exit(1)


def load(model: Name, *, replica: Replica = None, context: Context = None, namespace: Namespace = NAMESPACE) -> None:
    """Load a model, or what its folder in the repository has become, on every Triton; no call is lost.

    To let a new version take over little by little, and back when it does worse: maas models rollout.
    """
    with opened(context, namespace) as cluster:
        _every(cluster, replica, lambda cluster, pod: tritons.load(cluster, pod, model), tell=f"loaded {model}")


def unload(model: Name, *, replica: Replica = None, context: Context = None, namespace: Namespace = NAMESPACE) -> None:
    """Take a model out of every Triton; calls that name it then fail with NOT_FOUND."""
    with opened(context, namespace) as cluster:
        _every(cluster, replica, lambda cluster, pod: tritons.unload(cluster, pod, model), tell=f"unloaded {model}")


def _every(
    cluster: Cluster, replica: str | None, work: Callable[[Cluster, str], Answer], tell: str = ""
) -> dict[str, Answer]:
    """Do it on every Triton, or one of them; what failed on some is told when all have ended. Raises ClusterError."""
    pods = tritons.replicas(cluster)
    if replica is not None and replica not in pods:
        raise Absent(f"no Triton is called {replica!r}; there are: {', '.join(pods) or 'none'}")
    chosen = pods if replica is None else [replica]
    if not chosen:
        raise Absent(f"no Triton runs in namespace {cluster.namespace!r}")

    def attempt(pod: str) -> Answer | ClusterError:
        try:
            return work(cluster, pod)
        except ClusterError as error:
            return error

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        ended = dict(zip(chosen, pool.map(attempt, chosen), strict=True))
    done = {pod: answer for pod, answer in ended.items() if not isinstance(answer, ClusterError)}
    if tell:
        for pod in done:
            console().print(f"{pod}: {tell}")
    failed = [str(error) for error in ended.values() if isinstance(error, ClusterError)]
    if failed:
        raise ClusterError("\n".join(failed))
    return done


def _served(found: Mapping[str, Sequence[tritons.Version]]) -> dict[str, dict[str, str]]:
    """Model -> replica -> the versions that are ready there, "" for none."""
    served: dict[str, dict[str, list[str]]] = defaultdict(lambda: {pod: [] for pod in found})
    for pod, versions in found.items():
        for each in versions:
            served[each.model][pod] += [str(each.version)] if each.state == "READY" else []
    return {model: {pod: ", ".join(ready) for pod, ready in pods.items()} for model, pods in sorted(served.items())}


def _table(found: Mapping[str, Sequence[tritons.Version]]) -> Table:
    made = table("model", *found, "last_error")
    why = {each.model: each.reason for versions in found.values() for each in versions if each.reason}
    for model, pods in _served(found).items():
        mixed = len(set(pods.values())) > 1 or "" in pods.values()
        made.add_row(
            Text(model, "red" if mixed else ""),
            *(versions or "not ready" for versions in pods.values()),
            Text(why.get(model, "") if mixed else "", "yellow"),
        )
    return made
