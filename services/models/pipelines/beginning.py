"""What must be so before a rollout may begin."""

from __future__ import annotations

from functools import partial

from services.mesh import errors
from services.mesh.repository import Fleet, Served
from services.models.pipelines.asking import ask_all
from services.models.pipelines.driver import pinned
from services.models.pipelines.rollout import Limits, Rollout


async def begin(fleet: Fleet, model: str, version: int, limits: Limits, now: float) -> Rollout:
    """A rollout that may begin. now: seconds since 1970.

    Raises NotFound, FailedPrecondition with what keeps it from beginning, and Unavailable when a replica is silent.
    """
    replicas = {replica.name: replica for replica in await fleet.replicas()}
    held = await ask_all({name: replica.held for name, replica in replicas.items()})
    if not replicas or None in held.values():
        silent = ", ".join(name for name, answer in held.items() if answer is None) or "no replica of Triton"
        raise errors.Unavailable(f"{silent} does not answer", reason="TRITON_UNREACHABLE", retry_after_seconds=1)
    every = {name: answer or [] for name, answer in held.items()}
    models = {each.model for answer in every.values() for each in answer}
    if model not in models:
        raise errors.NotFound.named("model", model, list(models))
    running = {
        name: frozenset(each.version for each in answer if each.model == model and each.state == "READY")
        for name, answer in every.items()
    }
    # One that has just started may serve the new version already, and is put back until it is its turn.
    others = {each for each in running.values() if each != frozenset({version})}
    if len(others) > 1 or any(len(each) != 1 for each in others):
        shown = "; ".join(sorted({", ".join(map(str, sorted(each))) or "none" for each in running.values()}))
        raise errors.FailedPrecondition(
            f"the replicas must serve one and the same version of {model!r} to begin with; they serve: {shown}",
            reason="REPLICAS_DIFFER",
            metadata={"model": model},
        )
    if not others:
        raise errors.FailedPrecondition(
            f"version {version} of {model!r} is the one that is served",
            reason="VERSION_SERVED",
            metadata={"model": model},
        )
    (previous,) = others.pop()
    before = await ask_all({name: partial(replica.served, model, previous) for name, replica in replicas.items()})
    has_previous = next(name for name, each in running.items() if each == frozenset({previous}))
    configuration = await replicas[has_previous].configuration(model)
    return Rollout(
        model=model,
        version=version,
        previous=previous,
        configuration=pinned(configuration, previous),
        before=sum((served for served in before.values() if served), Served()),
        limits=limits,
        created=now,
        updated=now,
    ).told(f"version {version} is to take over from {previous}", now)
