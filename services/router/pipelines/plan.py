"""A graph that can run: the same tree as its `Graph`, with functions for expressions and callers for calls.

The compiler makes it, the engine runs it; neither expressions nor gRPC are known here.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.mesh import errors
from services.mesh.deadline import Deadline

# What expressions see: "inputs.<name>" for each input, the value of each node that has ended by the node's name, and
# "failed.<node>" for each optional one.
Scope = Mapping[str, object]
# An expression. Raises MeshError when it has no value.
Evaluate = Callable[[Scope], Any]


@dataclass(slots=True)
class NodeRun:
    """What a node did in one run of a graph; offsets in seconds from its start. error: of the last time it failed."""

    node: str
    start_seconds: float
    end_seconds: float = 0.0
    runs: int = 0
    extra_calls: int = 0
    cached: int = 0
    error: errors.MeshError | None = None


@dataclass(slots=True)
class Run:
    """One run of a graph. routing_key: calls with the same key go to the same variant, as far as a policy has them."""

    graph: str
    routing_key: str = ""
    began: float = field(default_factory=time.monotonic)
    nodes: dict[str, NodeRun] = field(default_factory=dict)

    def node(self, name: str) -> NodeRun:
        """The record of a node, in the order in which they began."""
        if name not in self.nodes:
            self.nodes[name] = NodeRun(name, time.monotonic() - self.began)
        return self.nodes[name]


class UnaryCaller(Protocol):
    """Makes the call of one node, with all that its policies say."""

    async def call(self, scope: Scope, deadline: Deadline, run: Run) -> object:
        """The answer. Raises MeshError. Cancelling it cancels the call."""
        ...


class StreamCaller(Protocol):
    """Makes the calls of one node whose requests or answers are a stream."""

    def open(self, requests: AsyncIterator[object], deadline: Deadline, run: Run) -> AsyncGenerator[object, None]:
        """The answers; a unary one is the only one. Raises MeshError, and what the requests raise.

        Requests are taken when the service has taken those before. Closing the generator cancels the call at once.
        """
        ...


@dataclass(frozen=True, slots=True)
class Masked:
    """A text without names and numbers, and what each mark in it stands for."""

    text: str
    originals: Mapping[str, str]


class Masker(Protocol):
    """Masks texts."""

    async def mask(self, text: str, types: tuple[str, ...], language_code: str, deadline: Deadline, run: Run) -> Masked:
        """Replace what is of these types by marks such as [PERSON_1], equal things by equal marks. Raises MeshError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something that runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceStep(Step):
    """One after the other."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelStep(Step):
    """At the same time. quorum: so many must succeed."""

    steps: tuple[Step, ...]
    quorum: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedStep(Step):
    """With a value, put into the scope by its name.

    optional: when it fails, the value is what `empty` gives, and "failed.<node>" is True.
    timeout: seconds. share: of the graph's whole time.
    """

    node: str
    empty: Callable[[], object]
    optional: bool = False
    timeout: float | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way of several, or what is done with an item. run: before `gives` is evaluated, in a scope of its own."""

    run: Step | None
    gives: Evaluate


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStep(NamedStep):
    """A unary call."""

    caller: UnaryCaller


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchStep(NamedStep):
    """The first way whose condition holds."""

    cases: tuple[tuple[Evaluate, Way], ...]
    otherwise: Way | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MapStep(NamedStep):
    """A way for each item of a list, which the way sees as `item`. The value is a list in the same order."""

    items: Evaluate
    item: str
    most: int
    at_once: int
    way: Way


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One answer of an ensemble."""

    way: Way
    weight: float
    score: Evaluate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleStep(NamedStep):
    """Several answers made one. combine: "vote", "mean" or "best"."""

    members: tuple[Member, ...]
    combine: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackStep(NamedStep):
    """The first way that succeeds. codes: names of gRPC's codes after which the next is tried."""

    ways: tuple[Way, ...]
    codes: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyStep(NamedStep):
    """A way that sees a text as `masked`, without names and numbers; in what it gives, a text, they stand again.

    keep_marks: they do not.
    """

    text: Evaluate
    masked: str
    types: tuple[str, ...]
    language_code: Evaluate | None
    masker: Masker
    way: Way
    keep_marks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamCallStep(NamedStep):
    """A call with a stream of requests or answers, inside a stream.

    first: the first request, from the scope before the stream; None: there is none.
    sends: conditions (None: always) and the requests that are sent for an item, from the item's scope.
    per_item: a call for each item, with `first` from the item's scope as its only request.
    """

    caller: StreamCaller
    first: Evaluate | None
    sends: tuple[tuple[Evaluate | None, Evaluate], ...] = ()
    per_item: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectStep(NamedStep):
    """Inside a stream: a list of what each item gives; more than `most` fail it."""

    value: Evaluate
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A node of a stream. source: a stage's node, or "inputs.<name>". when: items without it are passed over."""

    step: NamedStep
    source: str
    when: Evaluate | None
    at_once: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStep(Step):
    """Stages at the same time. Sources come before those that take from them."""

    stages: tuple[Stage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOutput:
    """An output that is given for each item of a source."""

    name: str
    source: str
    when: Evaluate | None
    value: Evaluate


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A graph that can run.

    step: what it does. stream_outputs: given while it runs. outputs: given at its end, by name.
    """

    graph: str
    version: str
    step: Step
    stream_outputs: tuple[StreamOutput, ...]
    outputs: Mapping[str, Evaluate]


class Durations(Protocol):
    """How long nodes took lately, in seconds; None as long as too few runs were seen."""

    def usual(self, graph: str, node: str) -> float | None:
        """The median of the last minute."""
        ...

    def shortest(self, graph: str, node: str) -> float | None:
        """What nine of ten runs of the last minute took at least."""
        ...

    def add(self, graph: str, node: str, seconds: float) -> None:
        """A run that succeeded."""
        ...


class Observer(Protocol):
    """Is told of each run of a node, so that it becomes a span."""

    def node(self, graph: str, node: str) -> Any:
        """A context manager around one run; it sees the error that leaves the block."""
        ...
