"""Converts a TensorFlow.js graph model to ONNX; pictures are normalised and outputs are read inside the graph."""

from __future__ import annotations

from pydantic import Field

from deploy.models.builders import Options as BaseOptions
from deploy.models.builders import Work
from deploy.models.builders._tfjs import Channels, Graph
from deploy.models.builders._tfjs_operators import OPERATORS

VERSIONS = ("onnx", "numpy")


class Output(BaseOptions):
    """One of the graph's nodes: of class scores as they are, or of a picture's only channel, without that dimension.

    mean_of: first and last class number; the output is then their mean, weighted by the scores, which sum to 1.
    """

    node: str
    mean_of: tuple[int, int] | None = None


class Options(BaseOptions):
    """graph: model.json among the source files; its weights lie beside it.

    input: the node that gets the pictures, of values 0..255, with the channels it wants, times scale, plus offset (one
    value, or one a channel).
    """

    graph: str
    input: str
    channels: Channels = "rgb"
    scale: float = 1.0
    offset: list[float] = Field(default=[0.0], min_length=1, max_length=3)
    outputs: dict[str, Output] = Field(min_length=1)


def build(work: Work) -> dict[str, float]:
    """Write model.onnx: images uint8[N, H, W, 3] RGB -> the outputs, float32[N, C], [N, H, W] or [N, 1]."""
    options: Options = work.options
    work.report("converting to ONNX")
    graph = Graph.read(work, options.graph, OPERATORS)
    graph.pictures(options.input, options.channels, options.scale, options.offset)
    graph.save(
        work.folder / "model.onnx", {name: _append(graph, name, output) for name, output in options.outputs.items()}
    )
    return {}


def _append(graph: Graph, name: str, output: Output) -> tuple[int, list[int | None]]:
    """Make the output of that name; returns its element type and shape without the batch dimension."""
    import numpy as np  # noqa: PLC0415 - only when building
    import onnx  # noqa: PLC0415 - heavy

    number = onnx.TensorProto.FLOAT
    tensor = graph.tensor(output.node)
    if output.node not in graph.plain:
        graph.add("Squeeze", [tensor, graph.integers(1)], name)
        return number, [None, None]
    if output.mean_of is None:
        graph.add("Identity", [tensor], name)
        return number, [None]
    first, last = output.mean_of
    classes = np.arange(first, last + 1, dtype=np.float32)[:, None]
    graph.add("MatMul", [tensor, graph.constant(f"{name}/classes", classes)], name)
    return number, [1]
