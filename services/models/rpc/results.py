"""What the pipelines say, as messages."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status

from maas.models.v1 import models_pb2 as pb
from maas.models.v1 import rollout_pb2
from services.mesh import errors
from services.mesh.repository import Served
from services.mesh.status import to_status
from services.models.pipelines.loading import Holding, Listing
from services.models.pipelines.rollout import Limits, Stage
from services.models.pipelines.rollouts import View

_STATES = {
    Stage.RUNNING: rollout_pb2.ROLLOUT_STATE_RUNNING,
    Stage.PROMOTED: rollout_pb2.ROLLOUT_STATE_PROMOTED,
    Stage.ROLLED_BACK: rollout_pb2.ROLLOUT_STATE_ROLLED_BACK,
}
_VERSION_STATES = {
    "READY": pb.MODEL_VERSION_STATE_READY,
    "LOADING": pb.MODEL_VERSION_STATE_LOADING,
    "UNLOADING": pb.MODEL_VERSION_STATE_UNLOADING,
    "UNAVAILABLE": pb.MODEL_VERSION_STATE_UNAVAILABLE,
}


def model(holding: Holding) -> pb.Model:
    """A model and where it is."""
    found = pb.Model(name=holding.model)
    if holding.stage is not None:
        found.rollout_state = _STATES[holding.stage]
    for name, held in sorted(holding.replicas.items()):
        replica = found.replicas.add(replica=name)
        for each in held:
            state = _VERSION_STATES.get(each.state, pb.MODEL_VERSION_STATE_UNSPECIFIED)
            replica.versions.add(version=each.version, state=state, reason=each.reason)
    return found


def servers(listing: Listing) -> Iterable[pb.ServerReplica]:
    """The replicas, by name."""
    for name, answers in sorted(listing.replicas.items()):
        yield pb.ServerReplica(name=name, status=None if answers else _silent(name))


def rollout(view: View) -> rollout_pb2.Rollout:
    """A rollout and what was last seen of it."""
    found, progress = view.rollout, view.progress
    message = rollout_pb2.Rollout(
        model=found.model,
        version=found.version,
        previous_version=found.previous,
        limits=_limits(found.limits),
        state=_STATES[found.stage],
        settled=view.settled,
        step=found.step,
        reason=found.reason,
        tried=_statistics(progress.tried),
        compared=_statistics(progress.compared),
        events=[rollout_pb2.RolloutEvent(time=_time(event.at), description=event.text) for event in found.events],
        create_time=_time(found.created),
        update_time=_time(found.updated),
    )
    for name, versions in sorted(progress.replicas.items()):
        message.replicas.add(
            replica=name,
            wanted_version=found.wanted(name),
            ready_versions=sorted(versions or ()),
            reachable=versions is not None,
        )
    return message


def _limits(limits: Limits) -> rollout_pb2.RolloutLimits:
    return rollout_pb2.RolloutLimits(
        min_calls=limits.min_calls,
        min_time=_duration(limits.min_seconds),
        max_time=_duration(limits.max_seconds),
        max_error_rate_increase=limits.max_error_rate_increase,
        max_latency_ratio=limits.max_latency_ratio,
    )


def _statistics(served: Served) -> rollout_pb2.VersionStatistics:
    return rollout_pb2.VersionStatistics(
        answered=served.answered, failed=served.failed, mean_time=_duration(served.mean_seconds)
    )


def _silent(name: str) -> Status:
    return to_status(errors.Unavailable(f"{name} does not answer", reason="TRITON_UNREACHABLE"))


def _duration(seconds: float) -> Duration:
    made = Duration()
    made.FromNanoseconds(round(seconds * 1e9))
    return made


def _time(seconds: float) -> Timestamp:
    made = Timestamp()
    made.FromMicroseconds(round(seconds * 1e6))
    return made
