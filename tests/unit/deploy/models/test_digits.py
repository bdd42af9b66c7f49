"""A photo of a digit becomes what MNIST's pictures look like, and the network's answer goes back row by row."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image, ImageDraw

from deploy.models.builders import Work, digit_cnn


@pytest.fixture
def digits(pb_utils, tmp_path):
    """The model's module, and the model on a network whose first ten outputs are the ink of the first ten rows."""
    from deploy.triton.models.digits import model  # noqa: PLC0415 - needs the stand-in

    value, real = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("ReduceSum", ["digits", "across"], ["rows"], keepdims=0),
            onnx.helper.make_node("Slice", ["rows", "begin", "end", "down"], ["scores"]),
        ],
        "rows",
        [value("digits", real, ["n", 28, 28])],
        [value("scores", real, ["n", 10])],
        [
            onnx.numpy_helper.from_array(np.array([number], np.int64), name)
            for name, number in {"across": 2, "begin": 0, "end": 10, "down": 1}.items()
        ],
    )
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "1").mkdir()
    onnx.save(made, str(tmp_path / "1" / "digits.onnx"))
    loaded = model.TritonPythonModel()
    loaded.initialize({"model_repository": str(tmp_path), "model_version": "1", "model_config": "{}"})
    return model, loaded


def seven(paper=255, pen=0, width=12, at=(0, 0)):
    """A picture of 200 x 160 with a 7 on it."""
    picture = Image.new("RGB", (200, 160), (paper,) * 3)
    x, y = at
    points = [(40 + x, 30 + y), (100 + x, 30 + y), (60 + x, 130 + y)]
    ImageDraw.Draw(picture).line(points, fill=(pen,) * 3, width=width)
    return np.asarray(picture)


def test_ink_is_light_whatever_it_was(digits):
    """A dark digit on light paper and a light one on a dark board look the same to the network."""
    model, _ = digits
    dark, light = (model.laid_out(model.ink(seven(*colours))) for colours in ((230, 20), (20, 230)))
    np.testing.assert_allclose(dark, light, atol=0.02)
    assert dark.max() == pytest.approx(1)
    assert dark[0, 0] == 0


def test_layout_is_that_of_mnist(digits):
    """The longer side fills 20 pixels and the centre of mass is in the middle, wherever the digit was."""
    model, _ = digits
    for at in ((0, 0), (70, 10)):
        digit = model.laid_out(model.ink(seven(at=at)))
        rows = np.flatnonzero((digit > 0.3).any(axis=1))
        assert rows[-1] - rows[0] + 1 == pytest.approx(20, abs=2)
        centre = (digit * np.arange(28)[:, None]).sum() / digit.sum(), (digit * np.arange(28)).sum() / digit.sum()
        assert centre == pytest.approx((13.5, 13.5), abs=0.75)


def test_light_from_one_side(digits):
    """A sheet that is much darker at one end gives the same digit as an even one."""
    model, _ = digits
    light = np.linspace(1, 0.5, 200)[None, :, None]
    shaded = (seven(240) * light).astype(np.uint8)
    even, uneven = (model.laid_out(model.ink(picture)) for picture in (seven(240), shaded))
    assert np.corrcoef(even.ravel(), uneven.ravel())[0, 1] > 0.95


def test_a_fine_pen_does_not_fade(digits):
    """A line one pixel wide reaches the network about as broad as MNIST's."""
    model, _ = digits
    fine, broad = (model.laid_out(model.ink(seven(width=width))) for width in (1, 12))
    assert fine.sum() > 0.5 * broad.sum()


def test_dirt_is_left_out(digits):
    """A speck in the corner does not shrink the digit."""
    model, _ = digits
    dirty = seven().copy()
    dirty[150:153, 190:193] = 0
    np.testing.assert_allclose(model.laid_out(model.ink(dirty)), model.laid_out(model.ink(seven())), atol=0.05)


@pytest.mark.parametrize("shape", [(1, 1), (3, 300), (28, 28)])
def test_no_ink(digits, shape):
    """An empty picture of any size is every digit to the same degree."""
    _, loaded = digits
    scores = loaded._recognize(np.full((1, *shape, 3), 200, np.uint8))
    assert scores.tolist() == [[pytest.approx(0.1)] * 10]


@pytest.mark.parametrize("side", [1, 2, 4, 8])
def test_a_speck_is_answered(digits, side):
    """A mark of few pixels on a large sheet fits the network's input too."""
    _, loaded = digits
    sheet = np.full((1, 224, 224, 3), 255, np.uint8)
    sheet[:, 100 : 100 + side, 100 : 100 + side] = 0
    assert loaded._recognize(sheet).shape == (1, 10)


def test_rows_are_answered_in_their_order(digits):
    """Each picture of a request has its own row of scores."""
    _, loaded = digits
    scores = loaded._recognize(np.stack([np.full_like(seven(), 90), seven()]))
    assert scores[0].tolist() == [pytest.approx(0.1)] * 10
    assert scores[1].max() > 1


def test_the_builder_exports_the_network(tmp_path):
    """The ONNX file gives ten probabilities for each digit."""
    sizes = {"conv_layers.0": (32, 1, 3, 3), "conv_layers.3": (64, 32, 3, 3), "conv_layers.6": (128, 64, 3, 3)}
    sizes |= {"fc_layers.0": (256, 1152), "fc_layers.2": (10, 256)}
    weights = {f"{name}.weight": torch.randn(size) / 10 for name, size in sizes.items()}
    weights |= {f"{name}.bias": torch.randn(size[0]) for name, size in sizes.items()}
    torch.save(weights, tmp_path / "weights.pth")
    options = digit_cnn.Options(weights="weights.pth")
    assert digit_cnn.build(Work(options, {"weights.pth": tmp_path / "weights.pth"}, tmp_path, lambda _words: None))
    session = onnxruntime.InferenceSession(str(tmp_path / "digits.onnx"), providers=["CPUExecutionProvider"])
    (scores,) = session.run(["scores"], {"digits": np.zeros((3, 28, 28), np.float32)})
    assert scores.shape == (3, 10)
    assert scores.sum(axis=1) == pytest.approx(1)
