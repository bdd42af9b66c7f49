"""Where the time of one call goes: a clock for each call, and its stages in W3C's Server-Timing syntax.

Who sends the metadata `maas-timing: 1` gets them back as `server-timing` in the answer's trailers; of calls that are
answered once also in its headers, since JSON over HTTP has no trailers:

    server-timing: total;dur=59.6, preprocess;dur=36.4, queue;dur=2.9, compute;dur=12.1, transfer;dur=2.3,
        traceparent;desc="00-..."

Times are milliseconds. The stages share the time on the clock: what happens side by side is told once, as the one
that stands first in `Stage`, so that they never add up to more than the total; the rest is the service's own work. A
graph's nodes run side by side, so theirs are told apart: `node.hear;dur=...;start=...` and `node.hear.compute`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import IntEnum

from opentelemetry import propagate

from services.client.server_timing import ANSWER_KEY, REQUEST_KEY, Entry, read
from services.mesh.context import holding

_ASKED = ((REQUEST_KEY, "1"),)
# gRPC bounds what trailers hold to 8 KiB; error details need room beside them.
_MAX_ENTRIES = 96
_SHORTEST_MILLISECONDS = 0.05


class Stage(IntEnum):
    """What a call may be waiting for; of several at once the first is what the time counts for."""

    # A model's answer; told as queue, compute and transfer, as far as the model tells its own times.
    MODEL = 0
    # Sound, pictures and messages made from results.
    ENCODE = 1
    # Bytes to tensors, and clean text.
    PREPROCESS = 2
    # A turn in a queue of the service's own; told together with the time in the queues of models.
    QUEUE = 3
    # Another service's answer, in the router.
    CALL = 4
    # The caller's next message.
    RECEIVE = 5
    # Preprocessing of a stream, which may be waiting for what the caller sends.
    LISTEN = 6


# What the caller is told of; its bounded set of names.
_STAGES = ("queue", "compute", "transfer", "model", "encode", "preprocess", "call", "receive")
_NAMES = {Stage.ENCODE: "encode", Stage.PREPROCESS: "preprocess", Stage.CALL: "call", Stage.RECEIVE: "receive"}


@dataclass(slots=True)
class Part:
    """A node of a graph: its runs, since when, and what the services that it called say of theirs. Nanoseconds."""

    start: int
    duration: int = 0
    runs: int = 0
    stages: dict[str, float] = field(default_factory=dict)

    def add(self, told: Iterable[Entry]) -> None:
        """Add what one service told."""
        for each in told:
            if each.milliseconds is not None and each.name in _STAGES:
                self.stages[each.name] = self.stages.get(each.name, 0.0) + each.milliseconds


class Clock:
    """The stages of one call. asked: whether the caller wants to know."""

    __slots__ = ("_active", "_since", "_spent", "_told", "asked", "began", "parts")

    def __init__(self, *, asked: bool) -> None:
        self.asked = asked
        self.began = self._since = time.perf_counter_ns()
        self._active = [0] * len(Stage)
        self._spent = [0] * len(Stage)
        # Nanoseconds of model calls as their models tell: queue, compute, and the whole calls.
        self._told = [0, 0, 0]
        self.parts: dict[str, Part] = {}

    def enter(self, stage: Stage) -> None:
        """It begins, perhaps beside others."""
        self._go_on()
        self._active[stage] += 1

    def leave(self, stage: Stage) -> None:
        """It is over."""
        self._go_on()
        self._active[stage] -= 1

    def executed(self, queue_ns: int, compute_ns: int, whole_ns: int) -> None:
        """A model's own times of a call that took so long as a whole."""
        for index, value in enumerate((queue_ns, compute_ns, whole_ns)):
            self._told[index] += value

    def part(self, name: str) -> Part:
        """A node's times, to add to."""
        if name not in self.parts:
            self.parts[name] = Part(time.perf_counter_ns() - self.began)
        return self.parts[name]

    def _go_on(self) -> None:
        now = time.perf_counter_ns()
        for stage, count in enumerate(self._active):
            if count:
                self._spent[stage] += now - self._since
                break
        self._since = now

    def stages(self) -> dict[str, float]:
        """Seconds of each stage so far, together never more than the total."""
        self._go_on()
        found = {name: self._spent[stage] for stage, name in _NAMES.items()}
        found["preprocess"] += self._spent[Stage.LISTEN]
        model = self._spent[Stage.MODEL]
        queue, compute, whole = self._told
        # Calls that ran side by side share the time in the proportion of what their models told.
        in_queue = round(model * queue / whole) if whole else 0
        found["queue"] = in_queue + self._spent[Stage.QUEUE]
        found["compute"] = round(model * compute / whole) if whole else 0
        found["transfer" if whole else "model"] = max(0, model - in_queue - found["compute"])
        return {name: spent / 1e9 for name, spent in found.items() if spent}

    def total_seconds(self) -> float:
        """Since the call began."""
        return (time.perf_counter_ns() - self.began) / 1e9

    def server_timing(self, traceparent: str = "") -> str:
        """All of it as the value of a Server-Timing header. traceparent: of the call's span, where there is one."""
        stages = {name: seconds * 1000 for name, seconds in self.stages().items()}
        entries = [f"{name};dur={spent:.1f}" for name, spent in stages.items() if spent >= _SHORTEST_MILLISECONDS]
        entries.insert(0, f"total;dur={self.total_seconds() * 1000:.1f}")
        for name, part in self.parts.items():
            entries.append(f"node.{name};dur={part.duration / 1e6:.1f};start={part.start / 1e6:.1f};runs={part.runs}")
            entries += [f"node.{name}.{stage};dur={spent:.1f}" for stage, spent in part.stages.items()]
        if traceparent:
            entries.insert(0, f'traceparent;desc="{traceparent}"')
        return ", ".join(entries[:_MAX_ENTRIES])


_clock: ContextVar[Clock | None] = ContextVar("clock", default=None)
_part: ContextVar[Part | None] = ContextVar("part", default=None)


@contextmanager
def clock(*, asked: bool) -> Iterator[Clock]:
    """The clock of the call that the block answers."""
    with holding(_part, None), holding(_clock, Clock(asked=asked)) as made:
        assert made is not None  # noqa: S101 - for the type checker
        yield made


def current() -> Clock | None:
    """The clock of the call that is being answered, None outside of one."""
    return _clock.get()


@contextmanager
def stage(which: Stage) -> Iterator[None]:
    """The block's time is that of a stage of the call that is being answered, if one is."""
    found = _clock.get()
    if found is None:
        yield
        return
    found.enter(which)
    try:
        yield
    finally:
        found.leave(which)


@contextmanager
def node(name: str) -> Iterator[None]:
    """The block is one run of a graph's node."""
    found = _clock.get()
    if found is None or not found.asked:
        yield
        return
    part, began = found.part(name), time.perf_counter_ns()
    part.runs += 1
    try:
        with holding(_part, part):
            yield
    finally:
        part.duration += time.perf_counter_ns() - began


def answer() -> tuple[tuple[str, str], ...]:
    """The times of the call that is being answered, as metadata for its caller; none when he did not ask."""
    found = _clock.get()
    if found is None or not found.asked:
        return ()
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return ((ANSWER_KEY, found.server_timing(carrier.get("traceparent", ""))),)


def asking() -> tuple[tuple[str, str], ...]:
    """The metadata with which a node's calls ask the services for their times; none when nobody wants to know."""
    return _ASKED if _part.get() is not None else ()


def told(trailers: Iterable[tuple[str, str | bytes]] | None) -> None:
    """Take the times that a service answered to a node's call."""
    part = _part.get()
    if part is not None:
        part.add(read(trailers))
