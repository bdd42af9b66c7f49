"""The overlapping blocks around DTLN's networks."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tests.unit.deploy.models.conftest import StubRequest

HOP, DELAY = 128, 384


def network(path, names, first):
    """A network of the wanted inputs and outputs: `first` makes its answer; the state passes."""
    value, real = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [first, onnx.helper.make_node("Identity", [names[1]], ["after"])],
        "same",
        [value(names[0], real, [1, 1, None]), value(names[1], real, [1, 2, 128, 2])],
        [value("answer", real, [1, 1, None]), value("after", real, [1, 2, 128, 2])],
        [
            onnx.numpy_helper.from_array(np.array(0, np.float32), "zero"),
            onnx.numpy_helper.from_array(np.array(4, np.float32), "four"),
        ],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), str(path))


@pytest.fixture
def dtln(pb_utils, tmp_path):
    """The model, on a mask of one everywhere and a wave that is a quarter of what it was: four blocks overlap."""
    from deploy.triton.models.dtln import model  # noqa: PLC0415 - needs the stand-in

    (tmp_path / "1").mkdir()
    make = onnx.helper.make_node
    network(tmp_path / "1" / "mask.onnx", ["input_2", "input_3"], make("Pow", ["input_2", "zero"], ["answer"]))
    network(tmp_path / "1" / "refine.onnx", ["input_4", "input_5"], make("Div", ["input_4", "four"], ["answer"]))
    loaded = model.TritonPythonModel()
    loaded.initialize({"model_repository": str(tmp_path), "model_version": "1", "model_config": "{}"})
    return loaded


def run(model, audio, state=None):
    state = np.zeros(2048, np.float32) if state is None else state
    (response,) = model.execute([StubRequest(["audio", "state"], audio=audio, state=state)])
    return response


def test_what_is_left_alone_comes_out_as_it_was(dtln):
    """Networks that change nothing give the sound again, 384 samples later; two calls with the state are as one."""
    audio = np.random.default_rng(5).normal(size=40 * HOP).astype(np.float32)
    whole = run(dtln, audio).outputs["audio"]
    np.testing.assert_allclose(whole[DELAY:], audio[:-DELAY], atol=1e-5)
    first = run(dtln, audio[: 7 * HOP])
    second = run(dtln, audio[7 * HOP :], first.outputs["state"])
    parts = [first.outputs["audio"], second.outputs["audio"]]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)


@pytest.mark.parametrize("length", [0, 127, 129, 7501 * HOP])
def test_other_lengths_are_refused(dtln, length):
    """What is no whole number of hops, or more than a minute, is the caller's mistake."""
    assert run(dtln, np.zeros(length, np.float32)).error.code == 3
