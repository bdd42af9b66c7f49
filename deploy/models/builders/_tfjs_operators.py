"""What becomes of each TensorFlow operator in ONNX."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from deploy.models.builders import BuildError
from deploy.models.builders._tfjs import Converter, Graph, Node


def _text(value: str | list[int]) -> str:
    """A text attribute: some converters wrote it in base64, others as numbers."""
    return (base64.b64decode(value) if isinstance(value, str) else bytes(value)).decode()


def _across(node: Node, name: str) -> list[int]:
    """Height and width out of an attribute with one value for each dimension of NHWC."""
    return [int(value) for value in node["attr"].get(name, {}).get("list", {}).get("i", [1, 1, 1, 1])][1:3]


def _window(node: Node) -> dict[str, Any]:
    """Strides and padding, for ONNX. TensorFlow's SAME pads more at the end."""
    same = _text(node["attr"]["padding"]["s"]) == "SAME"
    return {"strides": _across(node, "strides"), "auto_pad": "SAME_UPPER" if same else "VALID"}


def _activated(graph: Graph, node: Node, make: Callable[[str], str]) -> str:
    """What `make` makes under the name it is given, and the activation that was fused with it, if any."""
    fused = [_text(name) for name in node["attr"].get("fused_ops", {}).get("list", {}).get("s", [])]
    known = {"Relu", "Relu6"}
    if fused not in ([], ["BiasAdd"], *(["BiasAdd", name] for name in known)):
        message = f"node {node['name']} is fused with {', '.join(fused)}, which this builder cannot convert."
        raise BuildError(message)
    if fused[1:] == ["Relu"]:
        return graph.add("Relu", [make(f"{node['name']}/linear")], node["name"])
    if fused[1:] == ["Relu6"]:
        return _clip(graph, make(f"{node['name']}/linear"), node["name"])
    return make(node["name"])


def _convolution(graph: Graph, node: Node) -> str:
    """With a bias or without. The kernel is HWIO; of a depthwise one, each channel has M outputs: HWCM."""
    source, kernel, *bias = node["input"]
    value = graph.weights[kernel]
    groups = 1
    if "Depthwise" in node["op"]:
        groups = value.shape[2]
        value = value.reshape(*value.shape[:2], 1, -1)
    inputs = [graph.tensor(source), graph.constant(kernel, value.transpose(3, 2, 0, 1))]
    inputs += [graph.constant(name, graph.weights[name]) for name in bias]
    window = _window(node) | {"dilations": _across(node, "dilations"), "group": groups}
    return _activated(graph, node, lambda name: graph.add("Conv", inputs, name, **window))


def _transposed_convolution(graph: Graph, node: Node) -> str:
    _sizes, kernel, source = node["input"]
    inputs = [graph.tensor(source), graph.constant(kernel, graph.weights[kernel].transpose(3, 2, 0, 1))]
    return graph.add("ConvTranspose", inputs, node["name"], **_window(node))


def _matrix_product(graph: Graph, node: Node) -> str:
    source, matrix, *bias = node["input"]
    inputs = [graph.tensor(source), *(graph.constant(name, graph.weights[name]) for name in (matrix, *bias))]
    flags = {f"trans{letter.upper()}": node["attr"].get(f"transpose_{letter}", {}).get("b", False) for letter in "ab"}
    return _activated(graph, node, lambda name: graph.add("Gemm", inputs, name, **flags))


def _normalization(graph: Graph, node: Node) -> str:
    source, *statistics = node["input"]
    inputs = [graph.tensor(source), *(graph.constant(name, graph.weights[name]) for name in statistics)]
    return graph.add("BatchNormalization", inputs, node["name"], epsilon=float(node["attr"]["epsilon"]["f"]))


def _pool(operator: str) -> Converter:
    def convert(graph: Graph, node: Node) -> str:
        source = graph.tensor(node["input"][0])
        return graph.add(operator, [source], node["name"], kernel_shape=_across(node, "ksize"), **_window(node))

    return convert


def _mean(graph: Graph, node: Node) -> str:
    source, axes = node["input"]
    if source in graph.plain or sorted(graph.weights[axes].ravel().tolist()) != [1, 2]:
        message = f"node {node['name']} is not a mean over height and width, which is all that can be converted."
        raise BuildError(message)
    kept = node["attr"].get("keep_dims", {}).get("b", False)
    if not kept:
        graph.plain.add(node["name"])
    return graph.add("ReduceMean", [graph.tensor(source), graph.integers(2, 3)], node["name"], keepdims=int(kept))


def _resize(graph: Graph, node: Node) -> str:
    source, size = node["input"]
    if not node["attr"].get("half_pixel_centers", {}).get("b", False):
        message = f"node {node['name']} resizes without half-pixel centres, which this builder cannot convert."
        raise BuildError(message)
    sizes = graph.integers(*(int(value) for value in graph.weights[size]))
    inputs = [graph.tensor(source), "", "", sizes]
    return graph.add("Resize", inputs, node["name"], mode="linear", axes=[2, 3])


def _elementwise(operator: str) -> Converter:
    def convert(graph: Graph, node: Node) -> str:
        plain = node["name"] in graph.plain
        return graph.add(operator, [graph.operand(name, plain=plain) for name in node["input"]], node["name"])

    return convert


def _softmax(graph: Graph, node: Node) -> str:
    axis = -1 if node["name"] in graph.plain else 1
    return graph.add("Softmax", [graph.tensor(node["input"][0])], node["name"], axis=axis)


def _relu6(graph: Graph, node: Node) -> str:
    return _clip(graph, graph.tensor(node["input"][0]), node["name"])


def _clip(graph: Graph, source: str, name: str) -> str:
    import numpy as np  # noqa: PLC0415 - only when building

    bounds = [graph.constant(f"relu6/{value}", np.array(value, np.float32)) for value in (0, 6)]
    return graph.add("Clip", [source, *bounds], name)


OPERATORS: dict[str, Converter] = {
    "Conv2D": _convolution,
    "_FusedConv2D": _convolution,
    "DepthwiseConv2dNative": _convolution,
    "FusedDepthwiseConv2dNative": _convolution,
    "Conv2DBackpropInput": _transposed_convolution,
    "_FusedMatMul": _matrix_product,
    "FusedBatchNorm": _normalization,
    "MaxPool": _pool("MaxPool"),
    "AvgPool": _pool("AveragePool"),
    "Mean": _mean,
    "ResizeBilinear": _resize,
    "Softmax": _softmax,
    "Relu": _elementwise("Relu"),
    "Relu6": _relu6,
    "Sigmoid": _elementwise("Sigmoid"),
    "Add": _elementwise("Add"),
    "AddV2": _elementwise("Add"),
    "AddN": _elementwise("Sum"),
    "BiasAdd": _elementwise("Add"),
    "Mul": _elementwise("Mul"),
    "Sub": _elementwise("Sub"),
    "Minimum": _elementwise("Min"),
    "Maximum": _elementwise("Max"),
    "Identity": _elementwise("Identity"),
}
