"""From a declared graph to one that can run: methods found, expressions compiled, scopes and types checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.router.compiling.blocks import Binder, Blocks
from services.router.compiling.documents import version_of
from services.router.compiling.expressions import INPUT_TYPES, Evaluated, Type
from services.router.compiling.ports import Callers
from services.router.compiling.problems import Problems
from services.router.compiling.reading import read
from services.router.compiling.uses import inputs_used, unused
from services.router.methods import Method
from services.router.pipelines.graph import (
    INPUT,
    MAX_CALLS,
    MAX_DEPTH,
    MAX_NODES,
    Block,
    Call,
    Graph,
    GraphError,
    Map,
    Privacy,
    Problem,
    Switch,
    inside,
    nodes,
)
from services.router.pipelines.plan import Plan, StreamOutput
from services.router.values import kind_of_type


@dataclass(frozen=True, slots=True)
class CompiledGraph:
    """A graph that can run once it is bound to callers.

    methods: of each node that is a call. output_types: as CEL writes them; of a stream that of its items.
    """

    graph: Graph
    version: str
    methods: Mapping[str, Method]
    output_types: Mapping[str, str]
    _step: Binder
    _outputs: Mapping[str, Evaluated]
    _stream_outputs: tuple[StreamOutput, ...]

    def bind(self, callers: Callers) -> Plan:
        """The plan, with what makes its calls."""
        return Plan(
            graph=self.graph.name,
            version=self.version,
            step=self._step(callers),
            stream_outputs=self._stream_outputs,
            outputs={name: output.evaluate for name, output in self._outputs.items()},
        )


def load(directory: Path) -> dict[str, CompiledGraph]:
    """All graphs of a folder, by name. Raises GraphError for the first that cannot run."""

    def wrong(source: str, path: str, problem: str) -> GraphError:
        return GraphError(source, (Problem("", path, problem),))

    if not directory.is_dir():
        raise wrong(str(directory), "", "is no folder; set ROUTER_GRAPHS_DIRECTORY to the folder of the graphs")
    graphs = {}
    for path in sorted(directory.glob("*.yaml")):
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            raise wrong(path.name, "", "is no UTF-8 text") from None
        source = read(text, source=path.name)
        if source.graph.name != path.stem:
            raise wrong(path.name, "name", f"the graph is called {source.graph.name!r}; name it as its file")
        graphs[source.graph.name] = compile_graph(source.graph, source=path.name, line=source.line)
    return graphs


def compile_graph(graph: Graph, *, source: str = "", line: Callable[[str, str], int] | None = None) -> CompiledGraph:
    """Check and compile a graph.

    source: what errors call it. line: of a place in it, by node and path. Raises GraphError with the first problem of
    each node.
    """
    problems = Problems(source, line or (lambda _node, _path: 0))
    _check_sizes(graph, problems)
    problems.raise_any()
    blocks = Blocks(graph, problems)
    plain = {INPUT + name: INPUT_TYPES[each.kind] for name, each in graph.inputs.items() if not each.stream}
    step, scope = blocks.top(graph.run, plain)
    outputs, stream_outputs, types = _outputs(graph, blocks, scope, problems)
    problems.raise_any()
    # Only then: what a wrong expression was meant to use is not known.
    _check_uses(graph, problems)
    problems.raise_any()
    return CompiledGraph(graph, version_of(graph), blocks.methods, types, step, outputs, stream_outputs)


def _outputs(
    graph: Graph, blocks: Blocks, scope: Mapping[str, Type], problems: Problems
) -> tuple[dict[str, Evaluated], tuple[StreamOutput, ...], dict[str, str]]:
    plain: dict[str, Evaluated] = {}
    streams: list[StreamOutput] = []
    types: dict[str, str] = {}
    for name, output in graph.outputs.items():
        where = f"outputs.{name}"
        visible = scope if output.each is None else blocks.items.get(output.each)
        if visible is None:
            known = ", ".join(blocks.items) or "none"
            problems.add("", f"{where}.each", f"{output.each!r} is no stream; there are: {known}")
            continue
        value = blocks.expression("", f"{where}.value", output.value, visible)
        when = blocks.condition("", f"{where}.when", output.when, visible)
        types[name] = value.type.name()
        if not kind_of_type(types[name]) and not blocks.fits(value.type):
            problems.add(
                "",
                f"{where}.value",
                f"is of type {types[name]}; an output is a text, bytes, a number, a truth value, a message, or a list "
                "of one of these",
            )
        if output.each is None:
            plain[name] = value
        else:
            streams.append(
                StreamOutput(name=name, source=output.each, when=when.evaluate if when else None, value=value.evaluate)
            )
    return plain, tuple(streams), types


def _check_sizes(graph: Graph, problems: Problems) -> None:
    names = [node.node for node in nodes(graph)]
    if len(names) > MAX_NODES:
        problems.add("", "", f"has {len(names)} nodes; at most {MAX_NODES} are allowed")
    if _depth(graph.run) > MAX_DEPTH:
        problems.add("", "", f"nests more than {MAX_DEPTH} blocks")
    for name, times in Counter(names).items():
        if times > 1:
            problems.add(name, "", "is there twice; give each node its own name")


def _check_uses(graph: Graph, problems: Problems) -> None:
    used = inputs_used(graph)
    for name in graph.inputs:
        if name not in used:
            problems.add("", f"inputs.{name}", "is never used")
    for name in unused(graph):
        problems.add(name, "", "is unreachable: no output needs its value")
    calls = _calls(graph.run)
    if calls > MAX_CALLS:
        # The widest of them, with all that is inside.
        widest = max((block for block in nodes(graph) if isinstance(block, Map)), key=_calls, default=None)
        problems.add(
            widest.node if widest else "",
            "most" if widest else "",
            f"the graph may make {calls} calls, retries included; at most {MAX_CALLS} are allowed",
        )


def _depth(block: Block) -> int:
    return 1 + max((_depth(each) for each in inside(block)), default=-1)


def _calls(block: Block) -> int:
    """Calls that a run of a block, or an item of a stream, may make at most."""
    match block:
        case Call():
            return block.retry.attempts * (2 if block.hedge else 1)
        case Map():
            return block.most * _calls(block.run)
        case Privacy():
            # What is to be masked is asked for first.
            return 1 + sum(map(_calls, inside(block)))
        case Switch():
            return max((_calls(each) for each in inside(block)), default=0)
    return sum(map(_calls, inside(block)))
