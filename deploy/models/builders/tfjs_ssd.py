"""Converts an SSD detector of TensorFlow.js's object-detection family to ONNX.

The convolutional body is converted node by node, in NCHW. What follows it is not converted but written anew, because
the original decodes all anchors for all classes: here the best class of each anchor is found on the logits, the best
anchors are picked, and only their boxes are decoded. So a few kilobytes leave the model, not hundreds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from deploy.models.builders import Options as BaseOptions
from deploy.models.builders import Work
from deploy.models.builders._tfjs import Graph, Node
from deploy.models.builders._tfjs_operators import OPERATORS

if TYPE_CHECKING:
    import onnx

VERSIONS = ("onnx", "numpy")

PREPROCESSED = "Preprocessor/map/TensorArrayStack/TensorArrayGatherV3"  # resized pictures, float NHWC 0..255
BOX_CODES = "concat"  # float[N, anchors, 1, 4] as (dy, dx, log dh, log dw), scaled
CLASS_LOGITS = "concat_1"  # float[N, anchors, 1 + classes]; class 0 is the background
ANCHORS = "Postprocessor/ExpandDims"  # float[1, anchors, 4] as y_min, x_min, y_max, x_max
CODE_SCALES = (10.0, 10.0, 5.0, 5.0)  # of the box coder with which this family was trained


class Options(BaseOptions):
    """graph: model.json among the source files; its weights lie beside it."""

    graph: str
    max_detections: int = Field(100, gt=0)


def build(work: Work) -> dict[str, float]:
    """Write model.onnx: images uint8[N, S, S, 3] -> boxes [N, K, 4], scores [N, K], classes [N, K]."""
    import onnx  # noqa: PLC0415 - heavy

    options: Options = work.options
    work.report("converting to ONNX")
    graph = Graph.read(work, options.graph, OPERATORS | {"Reshape": _head, "ConcatV2": _concatenation})
    graph.pictures(PREPROCESSED)
    codes, logits = graph.tensor(BOX_CODES), graph.tensor(CLASS_LOGITS)
    _append_decoder(graph, codes, logits, options.max_detections)
    kinds = {"boxes": onnx.TensorProto.FLOAT, "scores": onnx.TensorProto.FLOAT, "classes": onnx.TensorProto.INT64}
    count = options.max_detections
    graph.save(
        work.folder / "model.onnx",
        {name: (kind, [count, 4] if name == "boxes" else [count]) for name, kind in kinds.items()},
    )
    return {}


def _head(graph: Graph, node: Node) -> str:
    """A predictor's reshape: float[N, C, H, W] -> [N, anchors, ...]; the shape is Pack(batch, constants)."""
    source, shape = node["input"]
    graph.plain.add(node["name"])
    _batch, *sizes = graph.nodes[shape]["input"]
    # In ONNX, 0 keeps the batch dimension; -1 lets the number of anchors follow from the picture.
    values = graph.integers(0, -1, *(int(graph.weights[size]) for size in sizes[1:]))
    last = graph.add("Transpose", [graph.tensor(source)], f"{node['name']}/nhwc", perm=[0, 2, 3, 1])
    return graph.add("Reshape", [last, values], node["name"])


def _concatenation(graph: Graph, node: Node) -> str:
    *parts, axis = node["input"]
    return graph.add("Concat", [graph.tensor(part) for part in parts], node["name"], axis=int(graph.weights[axis]))


def _append_decoder(graph: Graph, codes: str, logits: str, count: int) -> None:
    """From all anchors' codes and logits to the `count` best detections."""
    import numpy as np  # noqa: PLC0415 - only when building

    anchors = graph.weights[ANCHORS][0]
    sizes = anchors[:, 2:] - anchors[:, :2]
    centres = anchors[:, :2] + sizes / 2

    # The sigmoid rises with its argument, so the best class and the best anchors show in the logits.
    last = graph.integers(-1)
    foreground = graph.add("Slice", [logits, graph.integers(1), graph.integers(1 << 31), last], "foreground")
    best = graph.add("ReduceMax", [foreground, last], "best", keepdims=0)
    classes = graph.add("ArgMax", [foreground], "best_class", axis=-1, keepdims=0)
    graph.made.append(_top(best, graph.integers(count)))
    graph.add("Sigmoid", ["top_logits"], "scores")
    graph.add("GatherElements", [classes, "top"], "classes", axis=1)

    # Codes, centres and sizes of the picked anchors only.
    flat = graph.add("Squeeze", [codes, graph.integers(2)], "codes")
    picked = graph.add("Unsqueeze", ["top", last], "picked")
    own = graph.add("GatherND", [flat, picked], "own_codes", batch_dims=1)
    scaled = graph.add("Div", [own, graph.constant("decode/scales", np.array(CODE_SCALES, np.float32))], "scaled")
    graph.made.append(_halves(scaled, graph.integers(2, 2)))
    centre = graph.add("Gather", [graph.constant("decode/centres", centres), "top"], "anchor_centres")
    size = graph.add("Gather", [graph.constant("decode/sizes", sizes), "top"], "anchor_sizes")
    middle = graph.add("Add", [graph.add("Mul", ["shift", size], "moved"), centre], "middle")
    half_scale = graph.constant("decode/half", np.array(0.5, np.float32))
    extent = graph.add("Mul", [graph.add("Exp", ["growth"], "grown"), size], "extent")
    half = graph.add("Mul", [extent, half_scale], "half_extent")
    corners = [graph.add("Sub", [middle, half], "low"), graph.add("Add", [middle, half], "high")]
    whole = graph.add("Concat", corners, "unclipped", axis=-1)
    bounds = [graph.constant(f"decode/{value}.0", np.array(value, np.float32)) for value in (0, 1)]
    graph.add("Clip", [whole, *bounds], "boxes")


def _top(best: str, count: str) -> onnx.NodeProto:
    import onnx  # noqa: PLC0415 - heavy

    return onnx.helper.make_node("TopK", [best, count], ["top_logits", "top"], axis=1, largest=1, sorted=1)


def _halves(codes: str, sizes: str) -> onnx.NodeProto:
    import onnx  # noqa: PLC0415 - heavy

    return onnx.helper.make_node("Split", [codes, sizes], ["shift", "growth"], axis=-1)
