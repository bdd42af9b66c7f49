"""Graphs as data: one YAML file each, checked for all that can be known without the services' descriptors.

name: hear-and-judge            # the file's name
summary: One sentence for people.
inputs:
  recording: {kind: data, summary: ...}       # text, data, number or flag; `default` makes it optional
run:                            # a block: a node, a sequence of blocks, or blocks in parallel
  sequence:
    - node: hear
      call: maas.speech.v1.SpeechService/Recognize
      request:                  # nested as the request message is; the leaves are CEL expressions
        audio: {content: inputs.recording}
outputs:
  transcript: {value: hear.transcript, summary: ...}
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from enum import StrEnum
from typing import Annotated, Any

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
    ValidationError,
    model_validator,
)

MAX_FILE_BYTES = 64 * 1024
MAX_INPUTS = 16
MAX_OUTPUTS = 32
MAX_NODES = 32
MAX_DEPTH = 8

# Words of CEL, and names that the router itself gives to something.
_RESERVED = (
    *("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop"),
    *("namespace", "null", "package", "return", "true", "var", "void", "while"),
    *("bool", "bytes", "double", "dyn", "int", "list", "map", "null_type", "string", "type", "uint"),
    *("google", "inputs", "maas"),
)


class GraphError(ValueError):
    """A graph that cannot run; says which file, where in it, and what is wrong. It stops the router at its start."""

    def __init__(self, source: str, where: str, problem: str) -> None:
        """source: the file. where: for example "node 'hear', request.audio", or "" for the whole graph."""
        super().__init__(": ".join(part for part in (source, where, problem) if part))


def _name(value: str) -> str:
    if value in _RESERVED:
        raise ValueError(f"{value!r} is a reserved word; choose another name")
    return value


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$"), AfterValidator(_name)]
GraphName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
Sentence = Annotated[str, Field(min_length=1, max_length=500)]


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
    model_config = ConfigDict(frozen=True, extra="forbid")


class Input(_Frozen):
    """Something that a graph takes."""

    kind: Kind
    summary: Sentence
    default: StrictBool | StrictInt | StrictFloat | StrictStr | None = None

    @model_validator(mode="after")
    def _default_is_of_its_kind(self) -> Input:
        if self.default is not None and not self.kind.admits(self.default):
            raise ValueError(f"the default is not a {self.kind}")
        return self


class Output(_Frozen):
    """Something that a graph gives. value: a CEL expression over inputs and nodes."""

    value: str
    summary: Sentence


class Node(_Frozen):
    """One call. call: "package.Service/Method". request: nested mappings whose leaves are CEL expressions."""

    node: Name
    call: str
    request: Mapping[str, Any] = {}


class Sequential(_Frozen):
    """Blocks one after the other; each may use the answers of those before it."""

    sequence: Annotated[tuple[Block, ...], Field(min_length=1)]


class Parallel(_Frozen):
    """Blocks at the same time; none may use the answers of another. The first failure ends all."""

    parallel: Annotated[tuple[Block, ...], Field(min_length=1)]


_BLOCKS = ("node", "sequence", "parallel")


def _kind_of_block(value: Any) -> str | None:
    """The one word that says what a block is."""
    present = [key for key in _BLOCKS if (key in value if isinstance(value, Mapping) else hasattr(value, key))]
    return present[0] if len(present) == 1 else None


Block = Annotated[
    Annotated[Node, Tag("node")] | Annotated[Sequential, Tag("sequence")] | Annotated[Parallel, Tag("parallel")],
    Discriminator(
        _kind_of_block,
        custom_error_type="block",
        custom_error_message="a block has exactly one of: " + ", ".join(_BLOCKS),
    ),
]


class Graph(_Frozen):
    """A composition of calls with typed inputs and outputs."""

    name: GraphName
    summary: Sentence
    inputs: Annotated[Mapping[Name, Input], Field(max_length=MAX_INPUTS)] = {}
    run: Block
    outputs: Annotated[Mapping[Name, Output], Field(min_length=1, max_length=MAX_OUTPUTS)]

    def nodes(self) -> list[tuple[Node, tuple[str, ...]]]:
        """All nodes as written, each with the names of those that have ended before it begins."""
        return _walk(self.run, ())


def _walk(block: Block, before: tuple[str, ...]) -> list[tuple[Node, tuple[str, ...]]]:
    if isinstance(block, Node):
        return [(block, before)]
    if isinstance(block, Parallel):
        return [pair for each in block.parallel for pair in _walk(each, before)]
    found: list[tuple[Node, tuple[str, ...]]] = []
    for each in block.sequence:
        inner = _walk(each, before)
        found += inner
        before += tuple(node.node for node, _ in inner)
    return found


def _depth(block: Block) -> int:
    if isinstance(block, Node):
        return 0
    inside = block.sequence if isinstance(block, Sequential) else block.parallel
    return 1 + max(_depth(each) for each in inside)


def parse(text: str, *, source: str) -> Graph:
    """Read a graph.

    source: what errors call it, the file's name. Raises GraphError.
    """
    if len(text.encode()) > MAX_FILE_BYTES:
        raise GraphError(source, "", f"larger than {MAX_FILE_BYTES // 1024} KiB")
    try:
        document = yaml.load(text, Loader=_UniqueKeys)  # noqa: S506 - derives from SafeLoader
    except yaml.YAMLError as error:
        raise GraphError(source, "", f"is not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise GraphError(source, "", "is nested too deeply") from None
    try:
        graph = Graph.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise GraphError(source, _where(document, first["loc"]), first["msg"]) from None
    _check(graph, source)
    return graph


def _check(graph: Graph, source: str) -> None:
    names = [node.node for node, _ in graph.nodes()]
    if len(names) > MAX_NODES:
        raise GraphError(source, "", f"has {len(names)} nodes; at most {MAX_NODES} are allowed")
    if _depth(graph.run) > MAX_DEPTH:
        raise GraphError(source, "", f"nests more than {MAX_DEPTH} blocks")
    for name in names:
        if names.count(name) > 1:
            raise GraphError(source, f"node {name!r}", "is there twice; give each node its own name")


def _where(document: Any, location: tuple[int | str, ...]) -> str:
    """A place in a document, naming its node."""
    node, path, place = "", "", document
    previous: int | str = ""
    for step in location:
        # Pydantic puts the kind of each block into its location, after the place of the block itself.
        is_kind = step in _BLOCKS and (previous == "run" or isinstance(previous, int))
        previous = step
        if is_kind:
            continue
        known = isinstance(step, int) if isinstance(place, list) else isinstance(place, dict) and step in place
        place = place[step] if known else None
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
        if isinstance(place, dict) and "node" in place:
            node, path = f"node {place['node']!r}", ""
    return ", ".join(part for part in (node, path.lstrip(".")) if part)


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error and not the loss of the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - as in the base
        """A mapping without repetition."""
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key is no plain word", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} stands there twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)
