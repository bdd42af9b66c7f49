"""Drives one rollout: each look puts every replica where it should be, and judges what the new version did."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import structlog

from services.mesh import errors
from services.mesh.repository import UNLOADED, Fleet, Held, Replica, Served
from services.models.pipelines.asking import ask_all
from services.models.pipelines.judge import fault, passed
from services.models.pipelines.kept import Record
from services.models.pipelines.rollout import Rollout, Stage

log = structlog.get_logger()

# Keeps a change and gives it back; raises Aborted when the record is not the one that is kept.
Write = Callable[[Record, Rollout], Awaitable[Record]]

# A replica may be silent for so long before the new version is taken to have broken it.
_PATIENCE_SECONDS = 10.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 5.0, 300.0


@dataclass(slots=True)
class Progress:
    """What was last seen. replicas: the versions that are ready on each, None for one that does not answer."""

    replicas: dict[str, frozenset[int] | None] = field(default_factory=dict)
    tried: Served = field(default_factory=Served)
    compared: Served = field(default_factory=Served)


@dataclass(slots=True)
class _Step:
    """What is counted of one step, by replica and version. marks: done when it began. last: when it was last asked."""

    began: float
    marks: dict[tuple[str, int], Served] = field(default_factory=dict)
    last: dict[tuple[str, int], Served] = field(default_factory=dict)


class Driver:
    """One rollout, from its first step to its end, and from then on whoever serves something else is put right."""

    def __init__(
        self,
        fleet: Fleet,
        write: Write,
        record: Record,
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """now: seconds since 1970. clock: seconds that never go back."""
        self._fleet, self._write, self._now, self._clock = fleet, write, now, clock
        self._record = record
        self._number: tuple[float, int, Stage] | None = None
        self._step = _Step(clock())
        self._held: dict[str, list[Held] | None] = {}
        self._silent: dict[str, float] = {}
        self._pause, self._paused_until = 0.0, 0.0
        self.progress = Progress()

    @property
    def _rollout(self) -> Rollout:
        return self._record.rollout

    async def look(self, record: Record) -> None:
        """Look once, and do what is to be done. record: what is kept now.

        Raises Aborted when somebody else changed it meanwhile, and Unavailable when Triton or what is kept is away.
        """
        self._record = record
        number = (record.rollout.created, record.rollout.step, record.rollout.stage)
        if number != self._number:
            self._number, self._step, self._pause, self._paused_until = number, _Step(self._clock()), 0.0, 0.0
        replicas = {replica.name: replica for replica in await self._fleet.replicas()}
        asked = await ask_all({name: replica.held for name, replica in replicas.items()})
        self._held = {name: None if held is None else _of(record.rollout.model, held) for name, held in asked.items()}
        try:
            if record.rollout.stage is Stage.RUNNING:
                await self._advance(replicas)
            else:
                await self._settle(replicas)
        finally:
            self._show()

    async def _advance(self, replicas: dict[str, Replica]) -> None:
        """Give the new version to whom it is due, and judge what it did."""
        able = {name for name, held in self._held.items() if held is not None}
        if lost := self._lost(able):
            await self._keep(self._rollout.back(lost, self._now()))
            return
        # While one is missed that has it no other gets it: the new version may have brought that one down.
        due = [] if self._silent else self._rollout.due(list(replicas), able)
        if due:
            await self._keep(self._rollout.give(due, self._now()))
        if wrong := await self._place(replicas, able):
            await self._keep(self._rollout.back(wrong, self._now()))
            return
        await self._judge(replicas)

    async def _judge(self, replicas: dict[str, Replica]) -> None:
        rollout, step = self._rollout, self._step
        right = {name: replica for name, replica in replicas.items() if self._serves(name, rollout.wanted(name))}
        counts = await ask_all(
            {name: partial(replica.served, rollout.model, rollout.wanted(name)) for name, replica in right.items()}
        )
        tried, others = Served(), Served()
        for name, served in counts.items():
            if served is None:
                continue
            key = (name, rollout.wanted(name))
            if served.anew(step.last.get(key, served)):
                if name in rollout.placed:
                    wrong = f"{name} started anew while it served version {rollout.version}"
                    await self._keep(rollout.back(wrong, self._now()))
                    return
                step.marks[key] = Served()
            step.last[key] = served
            done = served.since(step.marks.setdefault(key, served))
            if name in rollout.placed:
                tried += done
            else:
                others += done
        # Beside it in the same minutes if there is anything beside it, else what was before.
        compared = others if others.calls >= rollout.limits.min_calls else rollout.before
        self.progress.tried, self.progress.compared = tried, compared
        everywhere = len(right) == len(replicas) and None not in counts.values()
        await self._decide(tried, compared, replicas, everywhere=everywhere)

    async def _decide(self, tried: Served, compared: Served, replicas: dict[str, Replica], *, everywhere: bool) -> None:
        """everywhere: whether each replica serves what it is to serve, and has told what it did."""
        rollout, limits = self._rollout, self._rollout.limits
        seconds = self._clock() - self._step.began
        if wrong := fault(limits, tried, compared):
            await self._keep(rollout.back(wrong, self._now()))
        elif everywhere and passed(limits, tried, seconds):
            share = f"{len(set(rollout.placed) & replicas.keys())} of {len(replicas)} replicas"
            text = f"{tried.calls} calls went well on {share}"
            await self._keep(rollout.forward(len(replicas), text, self._now()))
        elif seconds > limits.max_seconds:
            text = f"only {tried.calls} of {limits.min_calls} calls came in {seconds:.0f} s"
            if tried.calls >= limits.min_calls:
                wrong = ", ".join(name for name in replicas if not self._serves(name, rollout.wanted(name)))
                text = f"within {seconds:.0f} s this replica did not serve what it was to serve: {wrong}"
            await self._keep(rollout.back(text, self._now()))

    async def _settle(self, replicas: dict[str, Replica]) -> None:
        """Carry the end out, and see that it stays so."""
        if self._clock() >= self._paused_until:
            able = {name for name, held in self._held.items() if held is not None and not self._left_alone(held)}
            if wrong := await self._place(replicas, able):
                self._pause = min(_LONGEST_PAUSE_SECONDS, max(_FIRST_PAUSE_SECONDS, 2 * self._pause))
                self._paused_until = self._clock() + self._pause
                await self._keep(self._rollout.told(wrong, self._now()))
        everywhere = bool(replicas) and all(self._serves(name, self._rollout.wanted(name)) for name in replicas)
        if everywhere and not self._rollout.settled:
            await self._keep(self._rollout.carried_out(self._now()))

    async def _place(self, replicas: dict[str, Replica], able: set[str]) -> str:
        """Let the able ones load what they should serve and do not; what went wrong first, "" for nothing."""
        wrong = ""
        for name in sorted(able):
            wanted = self._rollout.wanted(name)
            if self._serves(name, wanted):
                continue
            await self._keep(self._rollout.told(f"{name} loads version {wanted}", self._now()))
            try:
                await self._load(replicas[name], wanted)
            except errors.Unavailable:
                self._held[name] = None
            except (errors.FailedPrecondition, errors.NotFound) as error:
                wrong = wrong or error.message
                if self._rollout.stage is Stage.RUNNING:
                    break
            else:
                await self._learn(replicas[name], wanted)
        return wrong

    async def _load(self, replica: Replica, wanted: int) -> None:
        rollout = self._rollout
        configuration = rollout.configuration
        if wanted == rollout.version:
            # During the rollout its files decide; later on a newer version may lie there.
            configuration = "" if rollout.stage is Stage.RUNNING else rollout.new_configuration
        self._show()
        await replica.load(rollout.model, configuration)
        held = self._held[replica.name] = _of(rollout.model, await replica.held())
        if _ready(held) != {wanted}:
            shown = ", ".join(map(str, sorted(_ready(held)))) or "none"
            raise errors.FailedPrecondition(
                f"{replica.name} serves {shown} of {rollout.model!r} after it was to load {wanted}"
            )

    async def _learn(self, replica: Replica, version: int) -> None:
        """Keep by which configuration the new version was loaded."""
        rollout = self._rollout
        if version == rollout.version and not rollout.new_configuration:
            try:
                configuration = pinned(await replica.configuration(rollout.model), version)
            except (errors.Unavailable, errors.NotFound):
                return  # It has gone again, which the next look sees.
            await self._keep(rollout.knowing(configuration, self._now()))

    def _lost(self, able: set[str]) -> str:
        """Which replica with the new version is gone or silent, in words, "" for none."""
        placed = self._rollout.placed
        now = self._clock()
        self._silent = {name: self._silent.get(name, now) for name in placed if name not in able}
        for name, since in self._silent.items():
            if now - since > _PATIENCE_SECONDS:
                what = "does not answer any more" if name in self._held else "is gone"
                return f"{name}, which was given version {self._rollout.version}, {what}"
        return ""

    def _left_alone(self, held: list[Held]) -> bool:
        """Whether a replica of a rollout that has long ended serves nothing because somebody wants it so, or as yet."""
        if not self._rollout.settled or _ready(held):
            return False
        if any(each.state in ("LOADING", "") for each in held):
            return True
        # A version that another one took over from is unloaded as well; one that broke has another reason.
        return all(each.reason == UNLOADED for each in held)

    def _serves(self, name: str, version: int) -> bool:
        """Whether a replica was last seen to serve this version and no other."""
        held = self._held.get(name)
        return held is not None and _ready(held) == {version}

    def _show(self) -> None:
        self.progress.replicas = {name: None if held is None else _ready(held) for name, held in self._held.items()}

    async def _keep(self, rollout: Rollout) -> None:
        before = self._rollout.events[-1:]
        self._record = await self._write(self._record, rollout)
        if rollout.events[-1:] != before:
            log.info("rollout", model=rollout.model, version=rollout.version, what=rollout.events[-1].text)


def pinned(configuration: str, version: int) -> str:
    """A model's configuration, JSON, by which it serves one version, whatever lies in the repository besides."""
    return json.dumps(json.loads(configuration) | {"version_policy": {"specific": {"versions": [version]}}})


def _of(model: str, held: Iterable[Held]) -> list[Held]:
    return [each for each in held if each.model == model]


def _ready(held: Iterable[Held]) -> frozenset[int]:
    return frozenset(each.version for each in held if each.state == "READY")
