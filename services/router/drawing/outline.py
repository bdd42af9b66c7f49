"""What a picture of a graph shows, the same for every kind of picture: parts inside parts, each with a few short texts.

All texts are on one line, without characters that a terminal or XML would take for something else.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from services.router.pipelines.graph import (
    INPUT,
    Block,
    Branch,
    Call,
    Case,
    Collect,
    Ensemble,
    Fallback,
    Graph,
    Input,
    Map,
    Member,
    Named,
    Output,
    Parallel,
    Privacy,
    Sequence,
    Stream,
    Switch,
    inside,
    nodes,
    walk,
)

STREAM_MARK = "≋"
_EXPRESSION_LETTERS = 48
# What XML has no place for, and what terminals take for commands.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Marks that turn the direction of writing, by which a text can look like another.
_TURNING = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# Texts and bytes inside an expression: names in them mean nothing.
_QUOTED = re.compile(r"""[rRbB]{0,2}("{3}.*?"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""", re.DOTALL)
_NAME = re.compile(r"([{,]\s*)?(?<![\w.])(inputs\.[a-z]\w*|[a-z]\w*)(?!\w)(\s*:)?")


@dataclass(frozen=True, slots=True)
class Part:
    """Something in the picture.

    kind: the word of its block, or "way" for one way of several. node: its name, or "". title: what it is called.
    about: what it does. notes: how. takes: the nodes and inputs that its own expressions read, without what is inside
    it. each: whose items it takes, inside a stream.
    """

    kind: str
    title: str
    node: str = ""
    about: str = ""
    notes: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    each: str = ""
    optional: bool = False
    parts: tuple[Part, ...] = ()

    def all(self) -> Iterator[Part]:
        """This one and all inside it."""
        yield self
        for part in self.parts:
            yield from part.all()


def outline(graph: Graph) -> Part:
    """What the graph does, as parts."""
    known = {node.node for node in nodes(graph)} | {INPUT + name for name in graph.inputs}
    return _part(graph.run, known)


def short(text: str, letters: int = _EXPRESSION_LETTERS) -> str:
    """The beginning of a text on one line, safe to show."""
    line = " ".join(_TURNING.sub("", _UNPRINTABLE.sub("\ufffd", text)).split())
    return line if len(line) <= letters else line[: letters - 1] + "…"


def taken(known: Collection[str], *expressions: object) -> tuple[str, ...]:
    """The names of nodes and inputs in expressions, each once. expressions: as a request has them, None for none."""
    found: dict[str, None] = {}
    for expression in expressions:
        for text in _leaves(expression):
            for match in _NAME.finditer(_QUOTED.sub('""', text)):
                before, name, after = match.groups()
                # A field of a message that is being made.
                if name in known and not (before and after):
                    found[name] = None
    return tuple(found)


def input_text(name: str, given: Input) -> str:
    """An input in a few words: "sound: data, stream"."""
    facts = [str(given.kind)]
    if given.stream:
        facts.append("stream")
    if given.otherwise is not None:
        facts.append("may be left out")
    return f"{name}: {', '.join(facts)}"


def output_takes(graph: Graph, output: Output) -> tuple[str, ...]:
    """The nodes and inputs from which an output is made; of a stream, the one whose items it takes."""
    if output.each:
        return (output.each,)
    return taken({node.node for node in nodes(graph)} | {INPUT + name for name in graph.inputs}, output.value)


def _leaves(request: object) -> Iterator[str]:
    if isinstance(request, str):
        yield request
    elif isinstance(request, Mapping):
        for value in request.values():
            yield from _leaves(value)
    elif isinstance(request, list | tuple):
        for value in request:
            yield from _leaves(value)


def _part(block: Block, known: Collection[str]) -> Part:
    match block:
        case Sequence():
            return Part("sequence", "one after the other", parts=_parts(block, known))
        case Parallel():
            first = f"at the same time, until {block.quorum} have succeeded" if block.quorum else "at the same time"
            return Part("parallel", first, parts=_parts(block, known))
        case Stream():
            return Part("stream", f"{STREAM_MARK} as it comes", parts=_parts(block, known))
    kind, about, expressions, parts = _named(block, known)
    within = {each.node for each in walk(block) if isinstance(each, Named)}
    takes = taken(known, *expressions, block.when)
    return Part(
        kind,
        block.node,
        node=block.node,
        about=about,
        notes=tuple(_notes(block)),
        takes=tuple(name for name in takes if name not in within and name != block.each),
        each=block.each or "",
        optional=block.optional,
        parts=parts,
    )


def _parts(block: Block, known: Collection[str]) -> tuple[Part, ...]:
    return tuple(_part(each, known) for each in inside(block))


def _named(block: Named, known: Collection[str]) -> tuple[str, str, list[object], tuple[Part, ...]]:
    """Its kind, what it does, its own expressions, and what is inside it."""
    match block:
        case Call():
            service, _, method = block.call.rpartition("/")
            sent: list[Any] = [part for send in block.send for part in (send.when, send.request)]
            return "call", f"{short(service.rpartition('.')[2])}/{short(method)}", [block.request, *sent], ()
        case Map():
            about = f"for each {block.item} of {short(block.map)}"
            return "map", about, [block.map, block.gives], _parts(block, known)
        case Privacy():
            about = f"{short(block.privacy)} without {', '.join(block.types).lower().replace('_', ' ')}"
            return "privacy", about, [block.privacy, block.language_code, block.gives], _parts(block, known)
        case Collect():
            return "collect", f"gathers {short(block.value)}", [block.value], ()
        case Switch() | Ensemble() | Fallback():
            return _choice(block, known)
    raise TypeError(f"no picture of a {type(block).__name__}")


def _choice(
    block: Switch | Ensemble | Fallback, known: Collection[str]
) -> tuple[str, str, list[object], tuple[Part, ...]]:
    """As `_named`, of one that has several ways."""
    kind, about, ways = _ways(block)
    expressions: list[object] = []
    parts = []
    for title, way in ways:
        own = [way.gives, way.when if isinstance(way, Case) else None, way.score if isinstance(way, Member) else None]
        expressions += own
        gives = f"gives {short(way.gives)}" if way.gives and not way.run else ""
        within = (_part(way.run, known),) if way.run else ()
        parts.append(Part("way", title, about=gives, takes=taken(known, *own), parts=within))
    return kind, about, expressions, tuple(parts)


def _ways(block: Switch | Ensemble | Fallback) -> tuple[str, str, list[tuple[str, Branch]]]:
    """Its kind, what it does, and its ways with their titles."""
    match block:
        case Switch():
            ways: list[tuple[str, Branch]] = [(f"if {short(case.when)}", case) for case in block.switch]
            ways += [("otherwise", block.otherwise)] if block.otherwise else []
            return "switch", "the first that holds", ways
        case Ensemble():
            about = {"vote": "a vote", "mean": "the mean", "best": "the best"}[block.combine]
            return "ensemble", about, [(f"weight {way.weight:g}", way) for way in block.ensemble]
    titled = [("or else" if index else "first", way) for index, way in enumerate(block.fallback)]
    return "fallback", "the first that succeeds", titled


def _notes(block: Named) -> Iterator[str]:
    """How a node runs, where it is not the usual way."""
    if block.when:
        yield f"when {short(block.when)}"
    if isinstance(block, Map | Collect):
        yield f"{block.most} at most"
    if block.at_once > 1:
        yield f"{block.at_once} at once"
    if block.optional:
        yield "may fail"
    if block.timeout:
        yield f"{block.timeout:g} s at most"
    if block.share:
        yield f"{block.share:.0%} of the time"
    if isinstance(block, Privacy) and block.keep_marks:
        yield "marks stay"
    if isinstance(block, Call):
        yield from _policies(block)


def _policies(call: Call) -> Iterator[str]:
    if "retry" in call.model_fields_set:
        yield f"{call.retry.attempts} attempts" if call.retry.attempts > 1 else "one attempt"
    if call.hedge:
        yield "made twice when slow"
    if call.limit:
        yield f"{call.limit.at_once} at once in a router"
    if call.cache:
        yield f"kept for {call.cache.ttl:g} s"
