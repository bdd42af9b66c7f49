"""TensorFlow.js graphs become ONNX: small ones, whose results are known by hand."""

from __future__ import annotations

import base64
import json

import numpy as np
import onnxruntime
import pytest

from deploy.models.builders import BuildError, Work, tfjs_graph, tfjs_movenet
from deploy.models.builders._tfjs import read_weights


def text(value):
    """A text attribute as the converter writes it."""
    return {"s": base64.b64encode(value.encode()).decode()}


def window(size=None, stride=1, padding="SAME", fused=()):
    """The attributes of a convolution or, with a size, of a pool."""
    attributes = {"strides": {"list": {"i": ["1", str(stride), str(stride), "1"]}}, "padding": text(padding)}
    if size:
        attributes["ksize"] = {"list": {"i": ["1", str(size), str(size), "1"]}}
    if fused:
        attributes["fused_ops"] = {"list": {"s": [text(name)["s"] for name in fused]}}
    return attributes


@pytest.fixture
def convert(tmp_path):
    """Write a graph of (operator, name, inputs, attributes) and its weights, build it, and return what runs it."""

    def run(builder, nodes, weights, options):
        entries = [
            {"name": name, "shape": list(value.shape), "dtype": str(value.dtype)} for name, value in weights.items()
        ]
        made = [{"op": op, "name": name, "input": inputs, "attr": attr} for op, name, inputs, attr in nodes]
        description = {"modelTopology": {"node": made}, "weightsManifest": [{"paths": ["w.bin"], "weights": entries}]}
        (tmp_path / "model.json").write_text(json.dumps(description))
        (tmp_path / "w.bin").write_bytes(b"".join(value.tobytes() for value in weights.values()))
        (tmp_path / "1").mkdir()
        files = {f"models/{name}": tmp_path / name for name in ("model.json", "w.bin")}
        work = Work(builder.Options(graph="models/model.json", **options), files, tmp_path / "1", lambda _words: None)
        builder.build(work)
        session = onnxruntime.InferenceSession(str(tmp_path / "1" / "model.onnx"), providers=["CPUExecutionProvider"])
        return lambda images: session.run(None, {"images": np.asarray(images, np.uint8)})[0]

    return run


def colours(*pixels):
    """Pictures uint8[N, 2, 2, 3], each of one colour."""
    return np.broadcast_to(np.array(pixels, np.uint8)[:, None, None], (len(pixels), 2, 2, 3))


MEAN = ("Mean", "mean", ["in", "axes"], {})
AXES = {"axes": np.array([1, 2], np.int32)}


def test_weights_are_read_in_every_form():
    """Half floats are widened, steps of a byte are scaled, and each begins where the one before it ended."""
    half, steps, plain = np.array([0.5, -2], "<f2"), np.array([0, 10], np.uint8), np.array([7], "<i4")
    entries = [
        {"name": "a", "shape": [2], "dtype": "float32", "quantization": {"dtype": "float16"}},
        {"name": "b", "shape": [2, 1], "dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.1, "min": -1}},
        {"name": "c", "shape": [], "dtype": "int32"},
    ]
    weights = read_weights(b"".join(value.tobytes() for value in (half, steps, plain)), entries)
    assert weights["a"].tolist() == [0.5, -2]
    np.testing.assert_allclose(weights["b"], [[-1], [0]], atol=1e-6)
    assert weights["c"] == 7


def test_weights_of_another_form_are_refused():
    """A type that no model of ours has is named rather than misread."""
    with pytest.raises(BuildError, match="weight a is a string stored as string"):
        read_weights(b"", [{"name": "a", "shape": [1], "dtype": "string"}])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [[10, 20, 30], [0, 255, 0]]),
        ({"channels": "bgr", "offset": [-1, -2, -3]}, [[29, 18, 7], [-1, 253, -3]]),
        ({"channels": "grey", "scale": 2 / 255, "offset": [-1]}, [[-0.85757], [0.174]]),
    ],
)
def test_pictures_are_normalised_inside(convert, options, expected):
    """Channels are put in order or mixed to grey, scaled and shifted, for any number of pictures."""
    run = convert(tfjs_graph, [MEAN], AXES, {"input": "in", "outputs": {"values": {"node": "mean"}}, **options})
    pictures = colours((10, 20, 30), (0, 255, 0))
    np.testing.assert_allclose(run(pictures), expected, atol=1e-4)
    np.testing.assert_allclose(run(pictures[:1]), expected[:1], atol=1e-4)


def test_padding_is_at_the_end(convert):
    """Of an odd padding TensorFlow puts the larger part at the end; a fused bias and activation are kept."""
    nodes = [
        ("_FusedConv2D", "conv", ["in", "kernel", "bias"], window(stride=2, fused=("BiasAdd", "Relu6"))),
        ("MaxPool", "pool", ["conv"], window(size=1)),
        ("Minimum", "out", ["pool", "most"], {}),
    ]
    weights = {
        "kernel": np.full((3, 3, 3, 1), 1 / 3, np.float32),
        "bias": np.array([-2], np.float32),
        "most": np.array(5, np.float32),
    }
    run = convert(tfjs_graph, nodes, weights, {"input": "in", "outputs": {"mask": {"node": "out"}}})
    # Sums over 9, 6, 6 and 4 pixels of value 1, less 2, at most 6 by the activation and 5 by the minimum.
    np.testing.assert_allclose(run(np.ones((1, 4, 4, 3))), [[[5, 4], [4, 2]]], atol=1e-5)


def test_depthwise_channels_stay_apart(convert):
    """Each channel has its own kernels, its outputs side by side; constants meet the channels they are for."""
    nodes = [
        ("FusedDepthwiseConv2dNative", "conv", ["in", "kernel", "bias"], window(fused=("BiasAdd",))),
        ("Mul", "scaled", ["conv", "scale"], {}),
        ("Mean", "mean", ["scaled", "axes"], {}),
    ]
    weights = AXES | {
        "kernel": np.arange(1, 7, dtype=np.float32).reshape(1, 1, 3, 2),
        "bias": np.array([0, 0, 0, 0, 0, 1], np.float32),
        "scale": np.array([[[1, 1, 1, 1, 10, 10]]], np.float32),
    }
    run = convert(tfjs_graph, nodes, weights, {"input": "in", "outputs": {"values": {"node": "mean"}}})
    np.testing.assert_allclose(run(colours((1, 10, 100))), [[1, 2, 30, 40, 5000, 6010]])


def test_a_mask_is_enlarged(convert):
    """A transposed convolution and a bilinear resize enlarge the picture; its only channel's dimension is dropped."""
    nodes = [
        ("Conv2DBackpropInput", "double", ["sizes", "filter", "in"], window(stride=2)),
        ("ResizeBilinear", "out", ["double", "size"], {"half_pixel_centers": {"b": True}}),
    ]
    weights = {
        "sizes": np.array([1, 2, 2, 1], np.int32),
        "filter": np.array([[[1, 0, 0], [2, 0, 0]], [[3, 0, 0], [4, 0, 0]]], np.float32)[:, :, None],
        "size": np.array([2, 4], np.int32),
    }
    run = convert(tfjs_graph, nodes, weights, {"input": "in", "outputs": {"mask": {"node": "out"}}})
    pictures = np.array([[[[1, 9, 9]]], [[[2, 9, 9]]]])
    once = np.array([[1, 1.25, 1.75, 2], [3, 3.25, 3.75, 4]])
    np.testing.assert_allclose(run(pictures), [once, 2 * once], atol=1e-5)


def test_the_mean_of_the_classes(convert):
    """Layers without height and width keep their constants as they are; the mean counts from the first class."""
    nodes = [
        MEAN,
        ("_FusedMatMul", "dense", ["mean", "matrix", "bias"], {"fused_ops": {"list": {"s": [text("BiasAdd")["s"]]}}}),
        ("AddV2", "shifted", ["dense", "shift"], {}),
        ("Softmax", "scores", ["shifted"], {}),
    ]
    weights = AXES | {
        "matrix": np.zeros((3, 2), np.float32),
        "bias": np.array([0, 1], np.float32),
        "shift": np.array([0, np.log(3) - 1], np.float32),
    }
    outputs = {"age": {"node": "scores", "mean_of": [1, 2]}}
    run = convert(tfjs_graph, nodes, weights, {"input": "in", "outputs": outputs})
    np.testing.assert_allclose(run(colours((1, 2, 3))), [[1.75]], atol=1e-5)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (("Cumsum", "mean", ["in"], {}), "node mean is a Cumsum"),
        (("Relu", "mean", ["elsewhere"], {}), "no node elsewhere"),
        (("Mean", "mean", ["in", "in_width"], {}), "not a mean over height and width"),
        (("ResizeBilinear", "mean", ["in", "in_width"], {}), "without half-pixel centres"),
        (("_FusedConv2D", "mean", ["in", "in_width"], window(fused=("BiasAdd", "Elu"))), "fused with BiasAdd, Elu"),
    ],
)
def test_what_cannot_be_converted_is_named(convert, node, message):
    """A graph that would come out wrong is refused, and the error names the node."""
    weights = {"in_width": np.array([2], np.int32).reshape(1, 1, 1, 1)}
    with pytest.raises(BuildError, match=message):
        convert(tfjs_graph, [node], weights, {"input": "in", "outputs": {"values": {"node": "mean"}}})


SIDE = 8


@pytest.fixture
def pose(convert):
    """A MoveNet whose body is one layer: red is where a centre is, green the heat of all keypoints.

    It foretells each keypoint two cells right of and one above the centre; it lies a quarter of a cell further down.
    """
    root = "StatefulPartitionedCall/"
    nodes, weights = [], {}

    def layer(name, kernel, bias):
        weights[f"{name}/kernel"] = np.array(kernel, np.float32)[None, None]
        weights[f"{name}/bias"] = np.array(bias, np.float32)
        inputs = [f"{root}stack", f"{name}/kernel", f"{name}/bias"]
        nodes.append(("_FusedConv2D", root + name, inputs, window(fused=("BiasAdd",))))

    layer("centre", [[0.1], [0], [0]], [-5])
    layer("heat", [[0] * 17, [0.1] * 17, [0] * 17], [-5] * 17)
    layer("kpt_regress_0/conv2d_6/BiasAdd", np.zeros((3, 34)), [-1, 2] * 17)
    layer("kpt_offset_0/conv2d_7/BiasAdd", np.zeros((3, 34)), [0.25, 0] * 17)
    nodes += [
        ("Sigmoid", f"{root}Sigmoid_1", [f"{root}centre"], {}),
        ("Sigmoid", f"{root}Sigmoid", [f"{root}heat"], {}),
    ]
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float32)[..., None]
    weights |= {
        "ConstantFolding/StatefulPartitionedCall/truediv_2_recip": np.ones((SIDE, SIDE, 1), np.float32),
        f"{root}strided_slice_3": rows,
        f"{root}strided_slice_4": columns,
        f"{root}add_5/y": np.array(1.8, np.float32),
    }
    return convert(tfjs_movenet, nodes, weights, {})


def test_keypoints_are_those_of_the_centre(pose):
    """Each picture of a batch has its own person; a hotter cell far from where a keypoint is foretold does not win."""
    pictures = np.zeros((2, SIDE, SIDE, 3))
    for picture, (y, x) in zip(pictures, [(3, 2), (5, 4)], strict=True):
        picture[y, x, 0] = 255
        picture[y - 1, x + 2, 1] = 50
        picture[7, 0, 1] = 80
    keypoints = pose(pictures)
    assert keypoints.shape == (2, 17, 3)
    expected = [[4 / SIDE, 2.25 / SIDE, 0.5], [6 / SIDE, 4.25 / SIDE, 0.5]]
    np.testing.assert_allclose(keypoints, np.repeat(np.array(expected)[:, None], 17, axis=1), atol=1e-6)
