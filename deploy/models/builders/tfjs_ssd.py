"""Converts an SSD detector of TensorFlow.js's object-detection family to ONNX with numpy and onnx alone.

The convolutional body is converted node by node, in NCHW. What follows it is not converted but written anew, because
the original decodes all anchors for all classes: here the best class of each anchor is found on the logits, the best
anchors are picked, and only their boxes are decoded. So a few kilobytes leave the model, not hundreds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import Field

from deploy.models.builders import BuildError, Work
from deploy.models.builders import Options as BaseOptions

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

VERSIONS = ("onnx", "numpy")
OPSET = 17
IR_VERSION = 8

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
    description = json.loads(work.file(options.graph).read_text(encoding="utf-8"))
    graph = Graph(
        nodes={node["name"]: node for node in description["modelTopology"]["node"]},
        weights=_weights(work, options.graph, description["weightsManifest"]),
    )
    codes, logits = graph.tensor(BOX_CODES), graph.tensor(CLASS_LOGITS)
    _append_decoder(graph, codes, logits, options.max_detections)
    batch = "batch"
    shapes: dict[str, list[str | int]] = {"boxes": [batch, options.max_detections, 4]}
    outputs = [
        onnx.helper.make_tensor_value_info(
            name,
            onnx.TensorProto.INT64 if name == "classes" else onnx.TensorProto.FLOAT,
            shapes.get(name, [batch, options.max_detections]),
        )
        for name in ("boxes", "scores", "classes")
    ]
    pictures = onnx.helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, [batch, "height", "width", 3])
    model = onnx.helper.make_model(
        onnx.helper.make_graph(graph.made, "ssd", [pictures], outputs, graph.constants),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="maas",
    )
    onnx.checker.check_model(model)
    onnx.save(model, str(work.folder / "model.onnx"))
    return {}


def _weights(work: Work, graph: str, manifest: list[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    """Cut the concatenated weight files into named arrays."""
    import numpy as np  # noqa: PLC0415 - only when building

    folder = graph.rpartition("/")[0]
    arrays: dict[str, NDArray[Any]] = {}
    for group in manifest:
        content = b"".join(work.file(f"{folder}/{path}").read_bytes() for path in group["paths"])
        offset = 0
        for weight in group["weights"]:
            if weight["dtype"] not in {"float32", "int32"} or "quantization" in weight:
                message = f"weight {weight['name']} is stored in a form that this builder does not read (quantised)."
                raise BuildError(message)
            count = int(np.prod(weight["shape"], dtype=np.int64))
            array = np.frombuffer(
                content, dtype=np.dtype(weight["dtype"]).newbyteorder("<"), count=count, offset=offset
            )
            arrays[weight["name"]] = array.reshape(weight["shape"])
            offset += array.nbytes
    return arrays


@dataclass
class Graph:
    """The TensorFlow graph that is read and the ONNX nodes that are made of it, on demand, from the outputs back."""

    nodes: dict[str, dict[str, Any]]
    weights: dict[str, NDArray[Any]]
    made: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Append one ONNX node and return its output's name."""
        import onnx  # noqa: PLC0415 - heavy

        self.made.append(onnx.helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Add an initializer, once, and return its name."""
        import onnx  # noqa: PLC0415 - heavy

        if name not in self.names:
            self.constants.append(onnx.numpy_helper.from_array(value.copy(), name))
            self.names[name] = name
        return name

    def tensor(self, name: str) -> str:
        """The ONNX tensor for the output of a TensorFlow node; makes what is missing on the way there."""
        waiting = [name]
        while waiting:
            current = waiting[-1]
            missing = [source for source in self._sources(current) if source not in self.names]
            if current not in self.names and not missing:
                self.names[current] = self._convert(current)
            if missing:
                waiting.extend(missing)
            else:
                waiting.pop()
        return self.names[name]

    def _sources(self, name: str) -> list[str]:
        """The nodes whose outputs must be there before this one; constants are there always."""
        if name == PREPROCESSED:
            return []
        node = self.nodes[name]
        # A reshape's second input is its shape, which _head takes apart itself.
        inputs = node["input"][:1] if node["op"] == "Reshape" else node["input"]
        return [source for source in inputs if source not in self.weights]

    def _convert(self, name: str) -> str:
        if name == PREPROCESSED:
            return self.add("Cast", [self.add("Transpose", ["images"], "nchw", perm=[0, 3, 1, 2])], name, to=1)
        node = self.nodes[name]
        convert = CONVERTERS.get(node["op"])
        if convert is None:
            message = f"node {name} is a {node['op']}, which this builder cannot convert."
            raise BuildError(message)
        return convert(self, node)

    def operand(self, name: str) -> str:
        """An operand of an element-wise node: a tensor, or a constant laid out for NCHW."""
        if name not in self.weights:
            return self.tensor(name)
        value = self.weights[name]
        return self.constant(name, value.reshape(-1, 1, 1) if value.ndim == 1 else value)


Converter = Callable[[Graph, dict[str, Any]], str]


def _window(node: dict[str, Any]) -> dict[str, Any]:
    """Strides and padding of a convolution, for ONNX. TensorFlow's SAME pads more at the end."""
    attributes = node["attr"]
    strides = [int(value) for value in attributes["strides"]["list"]["i"]][1:3]
    dilations = [int(value) for value in attributes.get("dilations", {}).get("list", {}).get("i", [1, 1, 1, 1])][1:3]
    same = bytes(attributes["padding"]["s"]) == b"SAME"  # the converter wrote the text as numbers
    return {"strides": strides, "dilations": dilations, "auto_pad": "SAME_UPPER" if same else "VALID"}


def _convolution(graph: Graph, node: dict[str, Any]) -> str:
    source, kernel = node["input"]
    weights = graph.weights[kernel].transpose(3, 2, 0, 1)  # HWIO -> OIHW
    return graph.add("Conv", [graph.tensor(source), graph.constant(kernel, weights)], node["name"], **_window(node))


def _depthwise(graph: Graph, node: dict[str, Any]) -> str:
    source, kernel = node["input"]
    height, width, channels, multiplier = graph.weights[kernel].shape
    weights = graph.weights[kernel].reshape(height, width, 1, channels * multiplier).transpose(3, 2, 0, 1)
    inputs = [graph.tensor(source), graph.constant(kernel, weights)]
    return graph.add("Conv", inputs, node["name"], group=channels, **_window(node))


def _normalization(graph: Graph, node: dict[str, Any]) -> str:
    source, *statistics = node["input"]
    inputs = [graph.tensor(source), *(graph.constant(name, graph.weights[name]) for name in statistics)]
    return graph.add("BatchNormalization", inputs, node["name"], epsilon=float(node["attr"]["epsilon"]["f"]))


def _elementwise(operator: str) -> Converter:
    def convert(graph: Graph, node: dict[str, Any]) -> str:
        return graph.add(operator, [graph.operand(name) for name in node["input"]], node["name"])

    return convert


def _relu6(graph: Graph, node: dict[str, Any]) -> str:
    import numpy as np  # noqa: PLC0415 - only when building

    bounds = [graph.constant(f"relu6/{value}", np.array(value, np.float32)) for value in (0, 6)]
    return graph.add("Clip", [graph.tensor(node["input"][0]), *bounds], node["name"])


def _head(graph: Graph, node: dict[str, Any]) -> str:
    """A predictor's reshape: float[N, C, H, W] -> [N, anchors, ...]; the shape is Pack(batch, constants)."""
    import numpy as np  # noqa: PLC0415 - only when building

    source, shape = node["input"]
    _batch, *sizes = graph.nodes[shape]["input"]
    # In ONNX, 0 keeps the batch dimension; -1 lets the number of anchors follow from the picture.
    values = np.array([0, -1, *(int(graph.weights[size]) for size in sizes[1:])], np.int64)
    last = graph.add("Transpose", [graph.tensor(source)], f"{node['name']}/nhwc", perm=[0, 2, 3, 1])
    return graph.add("Reshape", [last, graph.constant(f"{node['name']}/shape", values)], node["name"])


def _concatenation(graph: Graph, node: dict[str, Any]) -> str:
    *parts, axis = node["input"]
    return graph.add("Concat", [graph.tensor(part) for part in parts], node["name"], axis=int(graph.weights[axis]))


CONVERTERS: dict[str, Converter] = {
    "Conv2D": _convolution,
    "DepthwiseConv2dNative": _depthwise,
    "FusedBatchNorm": _normalization,
    "Relu6": _relu6,
    "Add": _elementwise("Add"),
    "AddN": _elementwise("Sum"),
    "BiasAdd": _elementwise("Add"),
    "Mul": _elementwise("Mul"),
    "Sub": _elementwise("Sub"),
    "Reshape": _head,
    "ConcatV2": _concatenation,
}


def _append_decoder(graph: Graph, codes: str, logits: str, count: int) -> None:
    """From all anchors' codes and logits to the `count` best detections."""
    import numpy as np  # noqa: PLC0415 - only when building

    def integers(name: str, *values: int) -> str:
        return graph.constant(f"decode/{name}", np.array(values, np.int64))

    anchors = graph.weights[ANCHORS][0]
    sizes = anchors[:, 2:] - anchors[:, :2]
    centres = anchors[:, :2] + sizes / 2

    # The sigmoid rises with its argument, so the best class and the best anchors show in the logits.
    last = integers("last", -1)
    foreground = graph.add("Slice", [logits, integers("one", 1), integers("end", 1 << 31), last], "foreground")
    best = graph.add("ReduceMax", [foreground], "best", axes=[-1], keepdims=0)
    classes = graph.add("ArgMax", [foreground], "best_class", axis=-1, keepdims=0)
    graph.made.append(_top(best, integers("count", count)))
    graph.add("Sigmoid", ["top_logits"], "scores")
    graph.add("GatherElements", [classes, "top"], "classes", axis=1)

    # Codes, centres and sizes of the picked anchors only.
    flat = graph.add("Squeeze", [codes, integers("two", 2)], "codes")
    picked = graph.add("Unsqueeze", ["top", last], "picked")
    own = graph.add("GatherND", [flat, picked], "own_codes", batch_dims=1)
    scaled = graph.add("Div", [own, graph.constant("decode/scales", np.array(CODE_SCALES, np.float32))], "scaled")
    graph.made.append(_halves(scaled, integers("halves", 2, 2)))
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
