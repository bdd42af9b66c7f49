"""What a command does with a graph by itself: checks and pictures. It takes longer to import than most calls take."""

from __future__ import annotations

from maas.router.v1 import graph_pb2 as pb
from services.router.compiling import compile_graph, from_proto, read, to_proto
from services.router.drawing import mermaid, svg
from services.router.drawing.terminal import tree
from services.router.pipelines.graph import Graph, GraphError

__all__ = ["GraphError", "check", "mermaid", "svg", "to_graph", "tree"]


def check(text: str) -> tuple[pb.ValidateGraphResponse, Graph | None]:
    """What ValidateGraph would answer to a graph's YAML; and the graph, in the order of the file, if it can run."""
    try:
        source = read(text)
        compiled = compile_graph(source.graph, line=source.line)
    except GraphError as error:
        problems = [
            pb.GraphProblem(node=each.node, path=each.path, line=each.line, description=each.description)
            for each in error.problems
        ]
        return pb.ValidateGraphResponse(problems=problems), None
    made = to_proto(compiled.graph)
    made.version = compiled.version
    return pb.ValidateGraphResponse(graph=made, mermaid=mermaid(compiled.graph)), compiled.graph


def to_graph(message: pb.Graph) -> Graph:
    """A graph of the mesh, to be drawn. Raises GraphError when this command does not know all that is in it."""
    graph = from_proto(message)
    # Protobuf keeps them in no order.
    return graph.model_copy(
        update={"inputs": dict(sorted(graph.inputs.items())), "outputs": dict(sorted(graph.outputs.items()))}
    )
