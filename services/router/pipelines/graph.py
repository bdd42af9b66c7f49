"""Graphs as data: what `maas.router.v1.Graph` says, which is also the form of a graph's YAML file, as Python values.

What a single field may be is checked here; what needs the whole graph or the services' descriptors, in the compiler.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
    model_validator,
)
from pydantic.functional_validators import BeforeValidator

MAX_FILE_BYTES = 64 * 1024
MAX_INPUTS = 16
MAX_OUTPUTS = 32
MAX_NODES = 32
MAX_DEPTH = 8
MAX_LIST = 1000
MAX_COLLECTED = 10_000
MAX_AT_ONCE = 32
# Calls that one run, or one item of a stream, may make in all.
MAX_CALLS = 10_000

# Words of CEL, and names that the router itself gives to something.
_RESERVED = (
    *("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop"),
    *("namespace", "null", "package", "return", "true", "var", "void", "while"),
    *("bool", "bytes", "double", "dyn", "int", "list", "map", "null_type", "string", "type", "uint"),
    *("google", "inputs", "failed", "maas", "answer", "shadow"),
)
# A stream that the graph takes is named so by `each`, and in the expressions of its items.
INPUT = "inputs."


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a graph. node, path: where; each may be empty. line: of the YAML, from 1; 0: there is none."""

    node: str
    path: str
    description: str
    line: int = 0

    def __str__(self) -> str:
        """A sentence without the line."""
        node = f"node {self.node!r}" if self.node else ""
        place = ", ".join(part for part in (node, self.path) if part)
        return ": ".join(part for part in (place, self.description) if part)


class GraphError(ValueError):
    """A graph that cannot run. Its text has a line for each problem: file, line, node, place and what is wrong."""

    def __init__(self, source: str, problems: tuple[Problem, ...]) -> None:
        """source: the file, or "" for a graph that came otherwise. problems: at least one."""
        self.problems = problems
        super().__init__("\n".join(_line(source, problem) for problem in problems))


def _line(source: str, problem: Problem) -> str:
    place = f"{source}:{problem.line}" if problem.line else source
    return f"{place}: {problem}" if place else str(problem)


def _name(value: str) -> str:
    if value in _RESERVED:
        raise ValueError(f"{value!r} is a reserved word; choose another name")
    return value


def _seconds(value: object) -> object:
    """A duration as ProtoJSON writes it, "0.2s"."""
    if isinstance(value, str) and value.endswith("s"):
        try:
            return float(value[:-1])
        except ValueError:
            pass
    raise ValueError('must be seconds, for example "0.2s"')


def _duration(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".") + "s"


def seconds(minimum: float, maximum: float) -> Any:
    """The type of a duration in seconds, within limits."""
    return Annotated[
        float,
        BeforeValidator(_seconds),
        Field(ge=minimum, le=maximum, allow_inf_nan=False),
        PlainSerializer(_duration, return_type=str),
    ]


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$"), AfterValidator(_name)]
GraphName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
Sentence = Annotated[str, Field(min_length=1, max_length=500)]
Cel = Annotated[str, Field(min_length=1, max_length=8192)]
# A node, or "inputs.NAME".
Source = Annotated[str, Field(pattern=r"^(inputs\.)?[a-z][a-z0-9_]{0,62}$")]
Code = Literal[
    "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED",
]  # fmt: skip
Codes = Annotated[tuple[Code, ...], Field(min_length=1)]


class Kind(StrEnum):
    """What kind of value an input is."""

    TEXT = "text"
    DATA = "data"
    NUMBER = "number"
    FLAG = "flag"

    def admits(self, value: object) -> bool:
        """Whether a value is of this kind: str, bytes, float or int, bool."""
        types: dict[Kind, tuple[type, ...]] = {
            Kind.TEXT: (str,),
            Kind.DATA: (bytes,),
            Kind.NUMBER: (float, int),
            Kind.FLAG: (bool,),
        }
        return isinstance(value, types[self]) and isinstance(value, bool) is (self is Kind.FLAG)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Input(_Frozen):
    """Something that a graph takes. stream: piece by piece."""

    kind: Kind
    summary: Sentence
    default: StrictBool | StrictInt | StrictFloat | StrictStr | None = None
    stream: bool = False

    @model_validator(mode="after")
    def _default_is_of_its_kind(self) -> Input:
        if self.default is not None and self.stream:
            raise ValueError("a stream has no default")
        if self.kind is Kind.DATA and self.default not in {None, ""}:
            raise ValueError('the default of data is "", which means none')
        if self.default is not None and self.kind is not Kind.DATA and not self.kind.admits(self.default):
            raise ValueError(f"the default is not a {self.kind}")
        return self

    @property
    def otherwise(self) -> object:
        """The value when it is left out; None when it is required."""
        return b"" if self.kind is Kind.DATA and self.default == "" else self.default


class Output(_Frozen):
    """Something that a graph gives. value: a CEL expression. each: given once for each item of this node or input."""

    value: Cel
    summary: Sentence
    each: Source | None = None
    when: Cel | None = None

    @model_validator(mode="after")
    def _conditions_need_items(self) -> Output:
        if self.when is not None and self.each is None:
            raise ValueError("when: goes with each")
        return self


class Retry(_Frozen):
    """When a call is made again; durations in seconds."""

    attempts: Annotated[int, Field(ge=1, le=5)] = 3
    codes: Codes = ("UNAVAILABLE",)
    backoff: seconds(0.001, 10) = 0.05  # type: ignore[valid-type]  # a type made by a function
    max_backoff: seconds(0.001, 60) = 1.0  # type: ignore[valid-type]


class Hedge(_Frozen):
    """When a slow call is made a second time. after: seconds. percentile: 0 means that only `after` counts."""

    after: seconds(0.001, 600)  # type: ignore[valid-type]
    percentile: Annotated[float, Field(ge=0.5, le=0.999)] | None = None
    share: Annotated[float, Field(gt=0, le=0.5)] = 0.1


class Limit(_Frozen):
    """How many calls of a node may be under way in one router, and how many may wait."""

    at_once: Annotated[int, Field(ge=1, le=1024)]
    queue: Annotated[int, Field(ge=0, le=1024)] = 0


class Cache(_Frozen):
    """How long an answer is kept, in seconds."""

    ttl: seconds(1, 86400)  # type: ignore[valid-type]


class Named(_Frozen):
    """A block with a value.

    node: its name. each: inside a stream, whose items it takes. at_once: items at the same time.
    timeout: seconds. share: of the graph's whole time.
    """

    node: Name
    each: Source | None = None
    when: Cel | None = None
    at_once: Annotated[int, Field(ge=1, le=MAX_AT_ONCE)] = 1
    optional: bool = False
    timeout: seconds(0.001, 3600) | None = None  # type: ignore[valid-type]
    share: Annotated[float, Field(gt=0, le=1)] | None = None

    @model_validator(mode="after")
    def _conditions_need_items(self) -> Named:
        if self.when is not None and self.each is None:
            raise ValueError("when: goes with each; a choice is a switch")
        return self


class Send(_Frozen):
    """A request that is sent for an item."""

    request: Mapping[str, Any]
    when: Cel | None = None


class Call(Named):
    """One call. call: "package.Service/Method". request: nested mappings whose leaves are CEL expressions."""

    call: str
    request: Mapping[str, Any] = {}
    send: tuple[Send, ...] = ()
    retry: Retry = Retry()
    hedge: Hedge | None = None
    limit: Limit | None = None
    cache: Cache | None = None


class Branch(_Frozen):
    """One way of several. gives: an expression, by default the value of `run`."""

    run: Block | None = None
    gives: Cel | None = None

    @model_validator(mode="after")
    def _has_a_value(self) -> Branch:
        _require_value(self.run, self.gives)
        return self


class Case(Branch):
    """A way that is taken when a condition holds."""

    when: Cel


class Member(Branch):
    """One of several answers. score: an expression, for "best"."""

    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    score: Cel | None = None


class Switch(Named):
    """The first case whose condition holds."""

    switch: Annotated[tuple[Case, ...], Field(min_length=1, max_length=16)]
    otherwise: Branch | None = None


class Map(Named):
    """A block for each item of a list."""

    map: Cel
    item: Name = Field(alias="as")
    most: Annotated[int, Field(ge=1, le=MAX_LIST)]
    run: Block
    gives: Cel | None = None

    @model_validator(mode="after")
    def _has_a_value(self) -> Map:
        _require_value(self.run, self.gives)
        return self


class Ensemble(Named):
    """Several answers to one question, made one."""

    ensemble: Annotated[tuple[Member, ...], Field(min_length=2, max_length=8)]
    combine: Literal["vote", "mean", "best"]

    @model_validator(mode="after")
    def _scores_are_for_the_best(self) -> Ensemble:
        if any((member.score is None) is (self.combine == "best") for member in self.ensemble):
            raise ValueError('each member has a score when combine is "best", and only then')
        return self


class Fallback(Named):
    """The first way that succeeds. codes: after which the next is tried."""

    fallback: Annotated[tuple[Branch, ...], Field(min_length=2, max_length=8)]
    codes: Codes = (
        *("UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "NOT_FOUND", "INTERNAL"),
    )


class Privacy(Named):
    """A block that sees a text only with names and numbers masked; in what it gives they stand again.

    keep_marks: they do not.
    """

    privacy: Cel
    masked: Name = Field(alias="as")
    types: tuple[Annotated[str, Field(pattern=r"^[A-Z_]{1,40}$")], ...] = (
        *("PERSON", "EMAIL", "PHONE_NUMBER", "CARD_NUMBER", "URL"),
    )
    language_code: Cel | None = None
    keep_marks: bool = False
    run: Block | None = None
    gives: Cel | None = None

    @model_validator(mode="after")
    def _has_a_value(self) -> Privacy:
        _require_value(self.run, self.gives)
        return self


class Collect(Named):
    """Inside a stream: a list of what each item gives, there when the stream has ended."""

    collect: Literal[True]
    value: Cel
    most: Annotated[int, Field(ge=1, le=MAX_COLLECTED)]


class Sequence(_Frozen):
    """Blocks one after the other; each may use the values of those before it."""

    sequence: Annotated[tuple[Block, ...], Field(min_length=1)]


class Parallel(_Frozen):
    """Blocks at the same time; none may use the values of another. quorum: so many must succeed, by default all."""

    parallel: Annotated[tuple[Block, ...], Field(min_length=1)]
    quorum: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _quorum_can_be_reached(self) -> Parallel:
        if self.quorum is not None and self.quorum > len(self.parallel):
            raise ValueError(f"quorum: there are {len(self.parallel)} blocks")
        return self


class Stream(_Frozen):
    """Nodes at the same time, each taking the items of another as they come."""

    stream: Annotated[tuple[Block, ...], Field(min_length=1)]


# The one word that says what a block is.
BLOCKS: Mapping[str, type[BaseModel]] = {
    "call": Call,
    "sequence": Sequence,
    "parallel": Parallel,
    "switch": Switch,
    "map": Map,
    "ensemble": Ensemble,
    "fallback": Fallback,
    "privacy": Privacy,
    "stream": Stream,
    "collect": Collect,
}


def _word(value: Any) -> str | None:
    present = [key for key in BLOCKS if (key in value if isinstance(value, Mapping) else hasattr(value, key))]
    return present[0] if len(present) == 1 else None


Block = Annotated[
    Annotated[Call, Tag("call")]
    | Annotated[Sequence, Tag("sequence")]
    | Annotated[Parallel, Tag("parallel")]
    | Annotated[Switch, Tag("switch")]
    | Annotated[Map, Tag("map")]
    | Annotated[Ensemble, Tag("ensemble")]
    | Annotated[Fallback, Tag("fallback")]
    | Annotated[Privacy, Tag("privacy")]
    | Annotated[Stream, Tag("stream")]
    | Annotated[Collect, Tag("collect")],
    Discriminator(
        _word,
        custom_error_type="block",
        custom_error_message="a block has exactly one of: " + ", ".join(BLOCKS),
    ),
]


def _require_value(run: Block | None, gives: str | None) -> None:
    if gives is None and not isinstance(run, Named):
        raise ValueError("gives: is required, since what it runs is not a node with a value of its own")


class Graph(_Frozen):
    """A composition of calls with typed inputs and outputs."""

    name: GraphName
    summary: Sentence
    inputs: Annotated[Mapping[Name, Input], Field(max_length=MAX_INPUTS)] = {}
    run: Block
    outputs: Annotated[Mapping[Name, Output], Field(min_length=1, max_length=MAX_OUTPUTS)]

    @property
    def streams(self) -> bool:
        """Whether it takes or gives a stream."""
        return any(each.stream for each in self.inputs.values()) or any(each.each for each in self.outputs.values())

    def document(self) -> dict[str, Any]:
        """The graph as its file has it, without what is left out: plain dicts, lists, texts and numbers."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def inside(block: Block) -> Iterator[Block]:
    """The blocks right inside a block, as written."""
    match block:
        case Sequence():
            yield from block.sequence
        case Parallel():
            yield from block.parallel
        case Stream():
            yield from block.stream
        case Map():
            yield block.run
        case Privacy():
            yield from (block.run,) if block.run else ()
        case Switch():
            yield from (case.run for case in (*block.switch, block.otherwise) if case and case.run)
        case Ensemble():
            yield from (member.run for member in block.ensemble if member.run)
        case Fallback():
            yield from (branch.run for branch in block.fallback if branch.run)


def walk(block: Block) -> Iterator[Block]:
    """A block and all inside it, as written."""
    yield block
    for each in inside(block):
        yield from walk(each)


def nodes(graph: Graph) -> list[Named]:
    """All blocks of a graph that have a name, as written."""
    return [block for block in walk(graph.run) if isinstance(block, Named)]


for _model in (Branch, Case, Member, Switch, Map, Ensemble, Fallback, Privacy, Sequence, Parallel, Stream, Graph):
    _model.model_rebuild()
