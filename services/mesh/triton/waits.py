"""How long a call would wait for a model, predicted from what Triton says that it has done."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.mesh import errors
from services.mesh.instruments import MODEL, MODEL_WAIT

if TYPE_CHECKING:
    from services.mesh.deadline import Deadline

# What is older tells little of a machine that others use as well.
_WINDOW_SECONDS = 60.0
_MAX_SAMPLES = 60
# Fewer calls than these may all have been a model's slow first ones.
_TELLING_CALLS = 8


@dataclass(frozen=True, slots=True)
class Served:
    """What Triton has done for a model since it was loaded.

    calls: requests answered. executions: batches that ran. busy_seconds: what these took, summed over the instances.
    """

    calls: int = 0
    executions: int = 0
    busy_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Sample:
    taken_seconds: float
    done: Served


@dataclass(slots=True)
class _Replica:
    """A model on one Triton. rate: calls a second and instance at its best; None while too little is known."""

    total: Served
    samples: deque[_Sample] = field(default_factory=lambda: deque(maxlen=_MAX_SAMPLES))
    rate: float | None = None
    execution_seconds: float = 0.0

    def learn(self, now: float, served: Served) -> int:
        """Take in what it has done in all; returns how many calls are new."""
        done = Served(
            served.calls - self.total.calls,
            served.executions - self.total.executions,
            served.busy_seconds - self.total.busy_seconds,
        )
        if done.calls and done.executions and done.busy_seconds > 0:
            self.samples.append(_Sample(now, done))
            self.total = served
        while self.samples and self.samples[0].taken_seconds < now - _WINDOW_SECONDS:
            self.samples.popleft()
        if sum(sample.done.calls for sample in self.samples) < _TELLING_CALLS:
            self.rate = None
            return done.calls
        # The best that was seen: whom we refuse would hardly have been answered, even if all goes well.
        self.rate = max(sample.done.calls / sample.done.busy_seconds for sample in self.samples)
        self.execution_seconds = min(sample.done.busy_seconds / sample.done.executions for sample in self.samples)
        return done.calls


@dataclass(slots=True)
class _Model:
    """A model on all replicas. instances: of each. seen: answers of ours at the last look.

    counted: the same at the last look that found new calls. shared: of each such look, `counted` before it, and how
    many calls it found. Answers may reach us a look sooner or later than Triton's statistics.
    """

    instances: int
    seen: int
    counted: int
    replicas: dict[str, _Replica] = field(default_factory=dict)
    shared: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=_MAX_SAMPLES))

    def rate(self) -> float | None:
        """Calls a second of all replicas; those that have told too little are taken to be like the others."""
        told = [replica.rate for replica in self.replicas.values() if replica.rate is not None]
        return self.instances * len(self.replicas) * sum(told) / len(told) if told else None

    def execution_seconds(self) -> float:
        """The shortest time that an execution took on any replica."""
        return min(replica.execution_seconds for replica in self.replicas.values() if replica.rate is not None)

    def share(self, answered: int) -> float:
        """What part of the calls is ours, above 0; 1 while it is not known. answered: of ours until now."""
        shared = list(self.shared)  # who collects metrics asks in a thread of his own
        ours = answered - shared[0][0] if shared else 0
        return min(1.0, ours / sum(every for _, every in shared)) if ours else 1.0


class Waits:
    """Predicts waits, one number for admission and for autoscaling.

    A call waits for those before it, at the rate at which Triton has answered: calls / busy seconds of an instance x
    instances x replicas, which counts what dynamic batching gains. The calls of other clients of Triton are taken to
    queue as ours do. Bounded by the models and replicas there are, and a minute of samples for each.
    """

    def __init__(self, inflight: Mapping[str, int], clock: Callable[[], float] = time.monotonic) -> None:
        """inflight: our calls of each model that Triton has not answered, kept up to date by the caller."""
        self._inflight = inflight
        self._clock = clock
        self._models: dict[str, _Model] = {}
        self._answered: Counter[str] = Counter()
        MODEL_WAIT.ask(self, lambda waits: [(value, {MODEL: name}) for name, value in waits.predictions().items()])

    def answered(self, model: str) -> None:
        """One of our calls has been answered."""
        self._answered[model] += 1

    def has_news(self, model: str) -> bool:
        """Whether calls of ours were answered since Triton was last asked."""
        known = self._models.get(model)
        return self._answered[model] != (known.seen if known else 0)

    def observe(self, model: str, served: Mapping[str, Served], instances: int) -> None:
        """Take what the replicas say of a model now; those that say nothing are gone. instances: of each."""
        now, answered = self._clock(), self._answered[model]
        known = self._models.get(model)
        if known is None or known.instances != instances:
            known = self._models[model] = _Model(instances, answered, answered)
        every = 0
        replicas = {}
        for name, done in served.items():
            replica = known.replicas.get(name)
            if replica is None or done.calls < replica.total.calls:  # new, or started anew
                replica = _Replica(done)
            every += replica.learn(now, done)
            replicas[name] = replica
        known.replicas = replicas
        if every:
            known.shared.append((known.counted, every))
            known.counted = answered
        known.seen = answered

    def seconds(self, model: str) -> float | None:
        """How long a call would wait before a model takes it up; None while too little is known."""
        known = self._models.get(model)
        if known is None or (rate := known.rate()) is None:
            return None
        ahead = self._inflight.get(model, 0) / known.share(self._answered[model])
        return max(0.0, ahead + 1 - known.instances * len(known.replicas)) / rate

    def predictions(self) -> dict[str, float]:
        """The waits of all models of which enough is known; any thread may ask."""
        known = {model: self.seconds(model) for model in list(self._models)}
        return {model: seconds for model, seconds in known.items() if seconds is not None}

    def require_time(self, model: str, deadline: Deadline) -> None:
        """Raise Exhausted when a call would be late however well things go.

        Never when none of ours is under way: its answer shows how fast the model has become.
        """
        if not self._inflight.get(model, 0) or (wait := self.seconds(model)) is None:
            return
        needed = wait + self._models[model].execution_seconds()
        if needed <= deadline.remaining_seconds():
            return
        raise errors.Exhausted(
            f"model {model!r} would answer in {needed:.2g} s at best, after the deadline",
            reason="WAIT_TOO_LONG",
            metadata={"model": model, "wait_seconds": f"{wait:.3f}"},
            retry_after_seconds=wait,
        )
