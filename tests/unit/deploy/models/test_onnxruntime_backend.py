"""The backend runs requests together, pads them, and gives each its own answer."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

from tests.unit.deploy.models.conftest import StubRequest


@pytest.fixture
def backend(pb_utils, monkeypatch):
    """The backend's module, with the stand-in for Triton's own."""
    from deploy.triton.backends.onnxruntime import model  # noqa: PLC0415 - needs the stand-in

    monkeypatch.setattr(model, "pb_utils", pb_utils)
    return model


@pytest.fixture
def load(backend, tmp_path):
    """Load a model that sums the numbers its mask keeps, and picks row `which` of a table of three."""
    node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    table = onnx.numpy_helper.from_array(np.array([10.0, 20.0, 30.0], np.float32), "table")
    axes = onnx.numpy_helper.from_array(np.array([1], np.int64), "axes")
    graph = onnx.helper.make_graph(
        [
            node("Mul", ["values", "mask"], ["kept"]),
            node("ReduceSum", ["kept", "axes"], ["total"], keepdims=0),
            node("Gather", ["table", "which"], ["row"]),
        ],
        "sums",
        [
            value("values", onnx.TensorProto.FLOAT, ["n", "l"]),
            value("mask", onnx.TensorProto.FLOAT, ["n", "l"]),
            value("which", onnx.TensorProto.INT64, ["n", "one"]),
        ],
        [value("total", onnx.TensorProto.FLOAT, ["n"]), value("row", onnx.TensorProto.FLOAT, ["n", "one"])],
        [table, axes],
    )
    (tmp_path / "1").mkdir()
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, str(tmp_path / "1" / "model.onnx"))

    def initialize(*, batch: int = 8, pad: bool = True):
        config = {
            "max_batch_size": batch,
            "input": [{"name": name, "dims": ["-1"]} for name in ("values", "mask", "which")],
            "parameters": {"pad_sequences": {"string_value": "true" if pad else "false"}},
        }
        model = backend.TritonPythonModel()
        model.initialize({"model_config": json.dumps(config), "model_repository": str(tmp_path), "model_version": "1"})
        return model

    return initialize


def request(*values, which=0, outputs=("total",)):
    """One row of numbers, all kept."""
    row = np.array([values], np.float32)
    return StubRequest(list(outputs), values=row, mask=np.ones_like(row), which=np.array([[which]]))


def test_different_lengths_are_one_execution(load, monkeypatch):
    """Three requests of different lengths run once, padded with zeros, and each gets its own sum in order."""
    model = load()
    shapes = []
    run = model._session.run

    class Session:
        def run(self, names, inputs, options):
            shapes.append(inputs["values"].shape)
            return run(names, inputs, options)

    monkeypatch.setattr(model, "_session", Session())
    responses = model.execute([request(1, 2, 3), request(5), request(7, 8)])
    assert shapes == [(3, 3)]
    assert [response.outputs["total"].tolist() for response in responses] == [[6], [5], [15]]


def test_without_padding_equal_shapes_run_together(load):
    """A model that may not be padded gets one execution a shape, and the answers stay in order."""
    responses = load(pad=False).execute([request(1, 2), request(5), request(3, 4)])
    assert [response.outputs["total"].tolist() for response in responses] == [[3], [5], [7]]


def test_a_request_may_hold_several_rows(load):
    """A request of two rows gets two back, whatever it shares the batch with."""
    two = StubRequest(
        ["total"],
        values=np.array([[1, 1], [2, 2]], np.float32),
        mask=np.ones((2, 2), np.float32),
        which=np.zeros((2, 1), int),
    )
    responses = load().execute([request(9), two])
    assert [response.outputs["total"].tolist() for response in responses] == [[9], [2, 4]]


def test_only_requested_outputs(load):
    """Each request gets the outputs it asked for and no others; the timing has a row an item."""
    responses = load().execute([request(1), request(2, which=2, outputs=("row", "execution_ns"))])
    assert list(responses[0].outputs) == ["total"]
    assert responses[1].outputs["row"].tolist() == [[30]]
    times = responses[1].outputs["execution_ns"]
    assert (times.dtype, times.shape) == (np.int64, (1, 2))
    assert times[0, 0] <= times[0, 1]


def test_a_bad_request_fails_alone(load, capfd):
    """An input that the model cannot compute fails its own request; neither error nor log quotes it."""
    responses = load().execute([request(1, outputs=("row",)), request(2, which=4711, outputs=("row",))])
    assert responses[0].outputs["row"].tolist() == [[10]]
    assert responses[1].error is not None
    assert "4711" not in responses[1].error.message + capfd.readouterr().err


def test_a_model_without_batches(load):
    """Without a batch dimension nothing is joined or split, and the timing is one pair."""
    responses = load(batch=0).execute([request(1, 2, outputs=("total", "execution_ns")), request(4)])
    assert responses[0].outputs["total"].tolist() == [3]
    assert responses[0].outputs["execution_ns"].shape == (2,)
    assert responses[1].outputs["total"].tolist() == [4]


@pytest.mark.parametrize(("dims", "keeps"), [([["224", "224", "3"]], True), ([["-1"], ["-1"]], False)])
def test_memory_follows_the_length_of_inputs(backend, dims, keeps):
    """A model whose inputs all have one size keeps its memory; one whose inputs vary gives it back after each run."""
    config = {"input": [{"name": "x", "dims": each} for each in dims]}
    assert backend.session_options(config).enable_cpu_mem_arena is keeps
