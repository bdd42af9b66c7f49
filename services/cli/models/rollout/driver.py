"""Drives a rollout: each look puts every replica where it should be, and judges what the new version did."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

from services.cli.models.rollout.judge import fault, passed
from services.cli.models.rollout.state import Kept, Limits, Rollout, Served, Stage
from services.cli.models.rollout.triton import Triton, TritonError

Fleet = Callable[[], Sequence[Triton]]
Tell = Callable[[str], None]


def begin(fleet: Fleet, kept: Kept, model: str, version: int, limits: Limits) -> Rollout:
    """A new rollout, or the one that is under way. Raises TritonError with what keeps it from beginning."""
    known = kept.read(model)
    if known is not None and known.stage is Stage.RUNNING:
        if known.version != version:
            raise TritonError(
                f"a rollout of version {known.version} is under way; end it first, or go back with --back"
            )
        return known
    replicas = fleet()
    if not replicas:
        raise TritonError("there is no Triton")
    running = {tuple(sorted(replica.versions(model))) for replica in replicas}
    if len(running) > 1 or len(next(iter(running))) != 1:
        shown = "; ".join(sorted(", ".join(map(str, each)) or "none" for each in running))
        raise TritonError(f"the replicas must serve one and the same version of {model!r} before; they serve: {shown}")
    previous = next(iter(running))[0]
    if previous == version:
        raise TritonError(f"version {version} of {model!r} is the one that is served")
    configuration = replicas[0].configuration(model) | {"version_policy": {"specific": {"versions": [previous]}}}
    rollout = Rollout(
        model=model,
        version=version,
        previous=previous,
        configuration=json.dumps(configuration),
        before=_sum(replicas, model, previous),
        limits=limits,
    )
    kept.write(rollout)
    return rollout


def drive(rollout: Rollout, fleet: Fleet, kept: Kept, tell: Tell, *, period_seconds: float = 1.0) -> Rollout:
    """Go on until it is promoted or rolled back everywhere. Whoever interrupts it can go on later.

    tell: takes a line about what happens, for people. Raises TritonError when a replica cannot be rolled back.
    """
    while rollout.stage is Stage.RUNNING:
        rollout = _step(rollout, fleet, tell, period_seconds)
        kept.write(rollout)
        tell(f"{rollout.stage}: {rollout.reason}" if rollout.stage is not Stage.RUNNING else rollout.reason)
    _place(rollout, fleet(), tell)
    return rollout


def _step(rollout: Rollout, fleet: Fleet, tell: Tell, period_seconds: float) -> Rollout:
    """One share of the replicas: until it is enough, or wrong."""
    marks: dict[tuple[str, int], Served] = {}
    began = time.monotonic()
    while True:
        replicas = fleet()
        try:
            _place(rollout, replicas, tell)
        except TritonError as error:
            return rollout.back(str(error))
        tried, others, chosen = Served(), Served(), 0
        for replica, version in _placed(rollout, replicas):
            served = replica.served(rollout.model, version)
            done = served.since(marks.setdefault((replica.name, version), served))
            if version == rollout.version:
                chosen += 1
                tried += done
            else:
                others += done
        # Beside it in the same minutes if there is anything beside it, else what was before.
        compared = others if others.calls >= rollout.limits.min_calls else rollout.before
        seconds = time.monotonic() - began
        if wrong := fault(rollout.limits, tried, compared):
            return rollout.back(wrong)
        share = f"{chosen} of {len(replicas)} replicas"
        if passed(rollout.limits, tried, seconds):
            return rollout.forward(len(replicas), f"{tried.calls} calls went well on {share}")
        if seconds > rollout.limits.max_seconds:
            return rollout.back(f"only {tried.calls} of {rollout.limits.min_calls} calls came in {seconds:.0f} s")
        time.sleep(period_seconds)


def _place(rollout: Rollout, replicas: Sequence[Triton], tell: Tell) -> None:
    """Load what each replica should serve and does not. Raises TritonError."""
    for replica, version in _placed(rollout, replicas):
        if replica.versions(rollout.model) == {version}:
            continue
        tell(f"{replica.name} loads version {version}")
        replica.load(rollout.model, "" if version == rollout.version else rollout.configuration)
        serves = replica.versions(rollout.model)
        if serves != {version}:
            shown = ", ".join(map(str, sorted(serves))) or "none"
            raise TritonError(f"{replica.name} serves {shown} of {rollout.model!r} after it was to load {version}")


def _placed(rollout: Rollout, replicas: Sequence[Triton]) -> list[tuple[Triton, int]]:
    """Each replica, and the version that it should serve."""
    chosen = rollout.chosen([replica.name for replica in replicas])
    return [(each, rollout.version if each.name in chosen else rollout.previous) for each in replicas]


def _sum(replicas: Sequence[Triton], model: str, version: int) -> Served:
    found = Served()
    for replica in replicas:
        found += replica.served(model, version)
    return found
