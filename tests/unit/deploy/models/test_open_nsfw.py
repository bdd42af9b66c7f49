"""The network gets the middle of the picture, in the order and about the mean that it was trained with."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from deploy.models.builders import Work, open_nsfw


def test_pictures_are_prepared_in_the_graph(tmp_path):
    """Blue stands first, the means are taken off, and the margins are cut away."""
    value, real = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    # Stands for the network: the means of blue and green.
    nodes = [
        onnx.helper.make_node("ReduceMean", ["input:0"], ["means"], axes=[1, 2], keepdims=0),
        onnx.helper.make_node("Slice", ["means", "begin", "end", "axis"], ["outputs"]),
    ]
    numbers = {"begin": 0, "end": 2, "axis": 1}
    graph = onnx.helper.make_graph(
        nodes,
        "means",
        [value("input:0", real, ["n", 224, 224, 3])],
        [value("outputs", real, ["n", 2])],
        [onnx.numpy_helper.from_array(np.array([number], np.int64), name) for name, number in numbers.items()],
    )
    source = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 10)], ir_version=4)
    onnx.save(source, str(tmp_path / "source.onnx"))
    options = open_nsfw.Options(weights="source.onnx")
    open_nsfw.build(Work(options, {"source.onnx": tmp_path / "source.onnx"}, tmp_path, lambda _words: None))
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    pictures = np.zeros((2, 256, 256, 3), np.uint8)
    pictures[:, 16:-16, 16:-16] = (50, 100, 200)
    (scores,) = session.run(["scores"], {"images": pictures})
    assert scores == pytest.approx(np.array([[200 - 104, 100 - 117]] * 2), abs=1e-3)
