"""Shows a rollout while it goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import grpc
from rich.text import Text

from maas.models.v1 import rollout_pb2 as pb
from services.cli.client import Mesh
from services.cli.output import console, milliseconds, seconds

SERVICE = "maas.models.v1.ModelService"
# The service of models may restart meanwhile, and a gateway as well.
_PATIENCE_SECONDS = 120.0
_PERIOD_SECONDS = 1.0
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def follow(mesh: Mesh, rollout: pb.Rollout, known: Sequence[pb.RolloutEvent], *, quiet: bool) -> pb.Rollout:
    """Print what happens until it has ended on every replica, and give it as it is then.

    known: events that need not be printed. quiet: print nothing. Raises grpc.RpcError when the mesh does not answer for
    two minutes.
    """
    told = {event.SerializeToString() for event in known}
    out = console()
    answered = time.monotonic()
    with out.status("") as status:
        while True:
            for event in rollout.events:
                if (key := event.SerializeToString()) not in told:
                    told.add(key)
                    if not quiet:
                        out.print(Text(event.description))
            if rollout.settled and rollout.state != pb.ROLLOUT_STATE_RUNNING:
                return rollout
            status.update(Text(" · ".join(_progress(rollout))))
            time.sleep(_PERIOD_SECONDS)
            try:
                request = pb.GetRolloutRequest(model=rollout.model)
                rollout = mesh.call(f"{SERVICE}/GetRollout", request, pb.GetRolloutResponse).rollout
                answered = time.monotonic()
            except grpc.RpcError as error:
                if error.code() not in _AWAY or time.monotonic() - answered > _PATIENCE_SECONDS:
                    raise
                status.update("the mesh does not answer; what it does it does all the same")


def state(rollout: pb.Rollout) -> str:
    """In a word or two: "rolled back"."""
    return pb.RolloutState.Name(rollout.state).removeprefix("ROLLOUT_STATE_").lower().replace("_", " ")


def _progress(rollout: pb.Rollout) -> Iterator[str]:
    if rollout.state == pb.ROLLOUT_STATE_RUNNING:
        tried = rollout.tried
        yield f"{tried.answered + tried.failed} of {rollout.limits.min_calls} calls"
        yield f"{tried.failed} failed"
        if tried.answered:
            now, before = (milliseconds(seconds(each.mean_time)) for each in (tried, rollout.compared))
            yield f"{now} each, before {before}"
    for replica in rollout.replicas:
        serves = ", ".join(map(str, replica.ready_versions)) or "none"
        if not replica.reachable:
            yield f"{replica.replica} does not answer"
        elif list(replica.ready_versions) != [replica.wanted_version]:
            yield f"{replica.replica} loads {replica.wanted_version}, serves {serves}"
        else:
            yield f"{replica.replica} serves {serves}"
