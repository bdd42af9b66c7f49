"""From a declared graph to one that can run: methods found, expressions compiled, all types checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.descriptor import Descriptor

from services.router import methods
from services.router.expressions import Expression, ExpressionError, Vocabulary
from services.router.methods import Method
from services.router.pipelines.graph import Graph, GraphError, Node, parse
from services.router.requests import RequestTemplate
from services.router.values import kind_of_type


@dataclass(frozen=True, slots=True)
class CompiledNode:
    """A call that can be made."""

    method: Method
    request: RequestTemplate


@dataclass(frozen=True, slots=True)
class CompiledGraph:
    """A graph that can run."""

    graph: Graph
    nodes: Mapping[str, CompiledNode]
    outputs: Mapping[str, Expression]


def load(directory: Path) -> dict[str, CompiledGraph]:
    """All graphs of a folder, by name. Raises GraphError for the first that cannot run."""
    if not directory.is_dir():
        raise GraphError(str(directory), "", "is no folder; set ROUTER_GRAPHS_DIRECTORY to the folder of the graphs")
    graphs = {}
    for path in sorted(directory.glob("*.yaml")):
        graph = parse(path.read_text("utf-8"), source=path.name)
        if graph.name != path.stem:
            raise GraphError(path.name, "name", f"the graph is called {graph.name!r}; name it as its file")
        graphs[graph.name] = compile_graph(graph, source=path.name)
    return graphs


def compile_graph(graph: Graph, *, source: str) -> CompiledGraph:
    """Check and compile a graph. source: what errors call it. Raises GraphError."""
    return _Compiler(graph, source).compile()


class _Compiler:
    def __init__(self, graph: Graph, source: str) -> None:
        self._graph = graph
        self._source = source
        self._order = graph.nodes()
        self._kinds = {name: declared.kind for name, declared in graph.inputs.items()}

    def compile(self) -> CompiledGraph:
        found = {node.node: self._method(node) for node, _ in self._order}
        answers = {name: method.response for name, method in found.items()}
        nodes = {node.node: self._node(node, before, found[node.node], answers) for node, before in self._order}
        vocabulary = Vocabulary(self._kinds, answers)
        outputs = {name: self._output(name, vocabulary) for name in self._graph.outputs}
        self._require_all_inputs_used(nodes, vocabulary)
        return CompiledGraph(self._graph, nodes, outputs)

    def _method(self, node: Node) -> Method:
        try:
            return methods.find(node.call)
        except LookupError as error:
            raise GraphError(self._source, f"node {node.node!r}, call", str(error.args[0])) from None

    def _node(
        self, node: Node, before: tuple[str, ...], method: Method, answers: Mapping[str, Descriptor]
    ) -> CompiledNode:
        def problem(path: str, error: ExpressionError) -> GraphError:
            return GraphError(self._source, f"node {node.node!r}, {path}", self._explain(error, node.node))

        vocabulary = Vocabulary(self._kinds, {name: answers[name] for name in before})
        return CompiledNode(method, RequestTemplate(method.request, node.request, vocabulary, problem))

    def _output(self, name: str, vocabulary: Vocabulary) -> Expression:
        where = f"output {name!r}"
        try:
            expression = vocabulary.compile(self._graph.outputs[name].value)
        except ExpressionError as error:
            raise GraphError(self._source, where, self._explain(error, "")) from None
        if not kind_of_type(expression.type):
            raise GraphError(
                self._source,
                where,
                f"is of type {expression.type}; an output is a text, bytes, a number, a truth value, a message, "
                "or a list of one of these",
            )
        return expression

    def _explain(self, error: ExpressionError, node: str) -> str:
        """What an unknown name probably meant."""
        root, _, rest = error.unknown.partition(".")
        names = [each.node for each, _ in self._order]
        if not error.unknown:
            return str(error)
        if root == "inputs":
            return f"there is no input {rest.partition('.')[0]!r}; there are: {', '.join(self._kinds) or 'none'}"
        if root in names:
            return f"node {root!r} has not ended before {node!r} begins, so its answer cannot be used here"
        return f"there is no node {root!r}; there are: {', '.join(names)}"

    def _require_all_inputs_used(self, nodes: Mapping[str, CompiledNode], vocabulary: Vocabulary) -> None:
        for name in self._graph.inputs:
            in_output = any(vocabulary.uses(output.value, name) for output in self._graph.outputs.values())
            if not in_output and not any(node.request.uses(name) for node in nodes.values()):
                raise GraphError(self._source, f"input {name!r}", "is never used")
