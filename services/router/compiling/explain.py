"""Where something wrong is, and what an expression probably meant by a name that it cannot use."""

from __future__ import annotations

from collections.abc import Iterator

from services.router.compiling.expressions import ExpressionError
from services.router.compiling.uses import circle, used_names
from services.router.pipelines.graph import Block, Collect, Graph, Named, Stream, inside, nodes, walk


def explain(graph: Graph, error: ExpressionError, node: str) -> str:
    """A sentence about what is wrong with an expression. node: that it is of, or "" outside of all."""
    root, _, rest = error.unknown.partition(".")
    if not error.unknown:
        return str(error)
    if root == "inputs":
        return _input(graph, rest.partition(".")[0])
    if root == "failed":
        return f"only optional nodes, and those of a parallel with a quorum, may have failed; {rest!r} is none here"
    known = [each.node for each in nodes(graph)]
    if root not in known:
        return f"there is no node {root!r}; there are: {', '.join(known)}"
    return _node(graph, root, node)


def _input(graph: Graph, name: str) -> str:
    if name in graph.inputs:
        return f"inputs.{name} is a stream; its items are seen by what takes them: each: inputs.{name}"
    return f"there is no input {name!r}; there are: {', '.join(graph.inputs) or 'none'}"


def _node(graph: Graph, name: str, node: str) -> str:
    """Why a node that there is cannot be seen."""
    way = circle(used_names(graph), node) if node else []
    if name in way:
        return f"a cycle: {' -> '.join(way)}"
    stages = next((stages for stages in _streams(graph) if name in stages), {})
    if node in stages:
        return f"{name!r} is not what the items of {stages[node].each!r} were made of, which {node!r} takes"
    if name in stages and not isinstance(stages[name], Collect):
        return f"{name!r} has many values; collect them inside the stream, or give an output for each: {name}"
    around = _around(graph.run, name)
    if around and around != _around(graph.run, node):
        return f"{name!r} is inside {around!r}, whose own value is all that is seen outside"
    return f"node {name!r} has not ended before {node or 'this'!r} begins"


def _streams(graph: Graph) -> Iterator[dict[str, Named]]:
    for block in walk(graph.run):
        if isinstance(block, Stream):
            yield {stage.node: stage for stage in block.stream if isinstance(stage, Named)}


def first_node(block: Block) -> str:
    """The first node of a block, which tells where it is; "" when it has none."""
    return next((each.node for each in walk(block) if isinstance(each, Named)), "")


def _around(block: Block, name: str, around: str = "") -> str:
    """The node that a node is right inside of, or ""."""
    if isinstance(block, Named):
        if block.node == name:
            return around
        around = block.node
    return next((found for each in inside(block) if (found := _around(each, name, around))), "")
