"""The loop around Silero's network: windows with what is before them, and state that passes through."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tests.unit.deploy.models.conftest import StubRequest


@pytest.fixture
def silero(pb_utils, tmp_path):
    """The model, on a network that adds a window's sum to its state, and answers with what its state was."""
    from deploy.triton.models.silero import model  # noqa: PLC0415 - needs the stand-in

    value, real = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("ReduceSum", ["input"], ["sum"], keepdims=0),
            onnx.helper.make_node("Add", ["state", "sum"], ["stateN"]),
            onnx.helper.make_node("ReduceMean", ["stateN"], ["mean"], keepdims=0),
            onnx.helper.make_node("Reshape", ["mean", "shape"], ["output"]),
        ],
        "sums",
        [value("input", real, [1, 576]), value("state", real, [2, 1, 128]), value("sr", onnx.TensorProto.INT64, [])],
        [value("output", real, [1, 1]), value("stateN", real, [2, 1, 128])],
        [onnx.numpy_helper.from_array(np.array([1, 1], np.int64), "shape")],
    )
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "1").mkdir()
    onnx.save(made, str(tmp_path / "1" / "silero_vad.onnx"))
    loaded = model.TritonPythonModel()
    loaded.initialize({"model_repository": str(tmp_path), "model_version": "1", "model_config": "{}"})
    return loaded


def run(model, audio, state=None):
    state = np.zeros((2, 1, 128), np.float32) if state is None else state
    (response,) = model.execute([StubRequest(["probabilities", "state"], audio=audio, state=state)])
    return response


def test_windows_overlap_by_the_context(silero):
    """Each window is heard with the 64 samples before it, and the state goes from one to the next and out."""
    audio = np.zeros(64 + 3 * 512, np.float32)
    audio[64 + 511] = 1
    response = run(silero, audio)
    np.testing.assert_allclose(response.outputs["probabilities"], [1, 2, 2])
    assert (response.outputs["state"] == 2).all()


def test_two_calls_are_as_one(silero):
    """The state of a call, brought by the next, makes them one."""
    audio = np.random.default_rng(4).normal(size=64 + 4 * 512).astype(np.float32)
    whole = run(silero, audio).outputs["probabilities"]
    first = run(silero, audio[: 64 + 512])
    second = run(silero, audio[512:], first.outputs["state"])
    parts = [first.outputs["probabilities"], second.outputs["probabilities"]]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-4)


@pytest.mark.parametrize("length", [0, 64, 575, 577, 64 + 1876 * 512])
def test_other_lengths_are_refused(silero, length):
    """What is no whole number of windows, or more than a minute, is the caller's mistake."""
    assert run(silero, np.zeros(length, np.float32)).error.code == 3
