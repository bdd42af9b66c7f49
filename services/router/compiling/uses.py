"""Which nodes a graph needs: what leads to no output is a mistake, and so is what waits for itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from services.router.compiling.expressions import names
from services.router.methods import SERVICES
from services.router.pipelines.graph import (
    Block,
    Call,
    Collect,
    Ensemble,
    Fallback,
    Graph,
    Map,
    Named,
    Privacy,
    Switch,
    nodes,
)

# They are called for what they do, not for what they answer.
_DOING = ("EnrollFace", "DeleteFace")


def unused(graph: Graph) -> list[str]:
    """Nodes whose value leads to no output, as written."""
    uses = used_names(graph)
    needed: set[str] = set()
    for output in graph.outputs.values():
        needed |= _in(output.value, output.when) | {output.each or ""}
    waiting = [*needed, *(node.node for node in nodes(graph) if does_something(node))]
    needed = set()
    while waiting:
        name = waiting.pop().removeprefix("failed.")
        if name in uses and name not in needed:
            needed.add(name)
            waiting += uses[name]
    return [name for name in uses if name not in needed]


def used_names(graph: Graph) -> dict[str, set[str]]:
    """What the expressions of each node name, by node, as written; nodes inside it have their own."""
    return {node.node: set().union(*map(names, expressions(node)), {node.each or ""}) for node in nodes(graph)}


def inputs_used(graph: Graph) -> set[str]:
    """Names of the inputs that something needs."""
    found: set[str] = set().union(*used_names(graph).values())
    for output in graph.outputs.values():
        found |= _in(output.value, output.when) | {output.each or ""}
    return {name.removeprefix("inputs.") for name in found if name.startswith("inputs.")}


def circle(uses: Mapping[str, set[str]], start: str) -> list[str]:
    """A way from a node through what it uses back to itself; empty when there is none."""
    ways = [[start]]
    seen: set[str] = set()
    while ways:
        way = ways.pop(0)
        for name in sorted(uses.get(way[-1], ())):
            if name == start:
                return [*way, name]
            if name in uses and name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []


def does_something(block: Named) -> bool:
    """Whether it changes something, so that it must not be called twice without need."""
    service, _, method = block.call.partition("/") if isinstance(block, Call) else ("", "", "")
    return service in SERVICES and method in _DOING


def expressions(block: Named) -> Iterator[str]:  # noqa: C901 - one kind a case
    """The expressions of a node itself; of the blocks inside it only how their values are used."""
    yield from _given(block.when)
    match block:
        case Call():
            yield from _leaves(block.request)
            for send in block.send:
                yield from (*_given(send.when), *_leaves(send.request))
        case Collect():
            yield block.value
        case Map():
            yield from (block.map, *_value(block.run, block.gives))
        case Privacy():
            yield from (block.privacy, *_given(block.language_code), *_value(block.run, block.gives))
        case Switch():
            for case in block.switch:
                yield from (case.when, *_value(case.run, case.gives))
            if block.otherwise:
                yield from _value(block.otherwise.run, block.otherwise.gives)
        case Ensemble():
            for member in block.ensemble:
                yield from (*_given(member.score), *_value(member.run, member.gives))
        case Fallback():
            for branch in block.fallback:
                yield from _value(branch.run, branch.gives)


def _value(run: Block | None, gives: str | None) -> list[str]:
    return [gives or (run.node if isinstance(run, Named) else "")]


def _given(*sources: str | None) -> list[str]:
    return [source for source in sources if source]


def _in(*sources: str | None) -> set[str]:
    return set().union(*map(names, _given(*sources)))


def _leaves(structure: Any) -> Iterator[str]:
    if isinstance(structure, Mapping):
        for value in structure.values():
            yield from _leaves(value)
    elif isinstance(structure, str):
        yield structure
