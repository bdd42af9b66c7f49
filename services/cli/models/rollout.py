"""`maas models rollout`: begins a rollout, or shows the one that runs, until it has ended."""

from __future__ import annotations

from typing import Annotated

import typer
from google.protobuf.duration_pb2 import Duration

from maas.models.v1 import rollout_pb2 as pb
from services.cli.client import connect
from services.cli.models.following import SERVICE, follow
from services.cli.options import TIMEOUT_SECONDS, Address, Json, Timeout
from services.cli.output import errors, to_json

_INTERRUPTED = 130


def rollout(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model in Triton.")],
    version: Annotated[
        int | None,
        typer.Argument(min=1, metavar="VERSION", help="The newest version in the repository, a folder of the model."),
    ] = None,
    *,
    back: Annotated[bool, typer.Option("--back", help="Go back to the version before, now.")] = False,
    min_calls: Annotated[
        int | None, typer.Option(min=1, help="So many calls the new version must have answered at each step; 50.")
    ] = None,
    min_seconds: Annotated[float | None, typer.Option(min=0, help="A step lasts so long at least; 30.")] = None,
    max_seconds: Annotated[
        float | None, typer.Option(min=1, help="With too few calls in so long it goes back; 1800.")
    ] = None,
    max_error_rate_increase: Annotated[
        float | None, typer.Option(min=0, max=1, help="So much more of its calls may fail; 0.02.")
    ] = None,
    max_latency_ratio: Annotated[
        float | None,
        typer.Option(min=0.01, help="So many times as long its calls may take in Triton, on average; 1.5."),
    ] = None,
    address: Address,
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Let another version of a model take over: on one Triton, on half of them, on all, for as long as it does well.

    Each Triton warms the new version up before calls reach it, and finishes those of the old one. What it does is
    compared with the old version: failures, and time in Triton. When it does worse, all go back. The mesh drives it,
    and a restart of the mesh goes on with it: Ctrl-C only ends the showing, and the same command shows it again.
    Exit code 1: it went back, or could not begin.
    """
    if (version is None) is not back:
        raise typer.BadParameter("give the version to roll out, or --back", param_hint="VERSION")
    limits = pb.RolloutLimits(
        min_calls=min_calls or 0,
        min_time=_duration(min_seconds),
        max_time=_duration(max_seconds),
        max_error_rate_increase=max_error_rate_increase,
        max_latency_ratio=max_latency_ratio or 0,
    )
    with connect(address, timeout) as mesh:
        if back:
            going = pb.RollBackRolloutRequest(model=model)
            begun = mesh.call(f"{SERVICE}/RollBackRollout", going, pb.RollBackRolloutResponse).rollout
        else:
            coming = pb.StartRolloutRequest(model=model, version=version or 0, limits=limits)
            begun = mesh.call(f"{SERVICE}/StartRollout", coming, pb.StartRolloutResponse).rollout
    # Of one that goes back only that is news.
    known = begun.events[:-1] if back else ()
    # A look a second would fill the traces.
    with connect(address, timeout, quiet=True, collector="") as mesh:
        try:
            ended = follow(mesh, begun, known, quiet=as_json)
        except KeyboardInterrupt:
            errors().print("the rollout goes on; the same command shows it again")
            raise typer.Exit(_INTERRUPTED) from None
    if as_json:
        print(to_json(ended))
    if (ended.state == pb.ROLLOUT_STATE_ROLLED_BACK) is not back:
        raise typer.Exit(1)


def _duration(seconds: float | None) -> Duration | None:
    if seconds is None:
        return None
    made = Duration()
    made.FromNanoseconds(round(seconds * 1e9))
    return made
