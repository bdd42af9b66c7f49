"""Pooling inside the graph: the mean of the kept tokens, of length one."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from deploy.models.builders import BuildError, Work, sentence_encoder

TABLE = np.array([[9, 9], [3, 0], [0, 4], [1, 1]], np.float32)


@pytest.fixture
def encoder(tmp_path):
    """Write an "encoder" that looks each token up in a table, and return the work for it."""

    def write(*inputs: str) -> Work:
        value = onnx.helper.make_tensor_value_info
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node("Gather", ["embedding", "input_ids"], ["last_hidden_state"])],
            "lookup",
            [value(name, onnx.TensorProto.INT64, ["n", "l"]) for name in inputs],
            [value("last_hidden_state", onnx.TensorProto.FLOAT, ["n", "l", 2])],
            [onnx.numpy_helper.from_array(TABLE, "embedding")],
        )
        made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(made, str(tmp_path / "encoder.onnx"))
        options = sentence_encoder.Options(weights="encoder.onnx")
        (tmp_path / "1").mkdir()
        return Work(options, {"encoder.onnx": tmp_path / "encoder.onnx"}, tmp_path / "1", lambda _words: None)

    return write


def test_the_mean_of_the_kept_tokens(encoder):
    """Padding does not count, the result has length one, and no token types are asked for."""
    work = encoder("input_ids", "attention_mask", "token_type_ids")
    sentence_encoder.build(work)
    session = onnxruntime.InferenceSession(str(work.folder / "model.onnx"), providers=["CPUExecutionProvider"])
    assert [tensor.name for tensor in session.get_inputs()] == ["input_ids", "attention_mask"]
    ids, mask = np.array([[1, 2, 0], [3, 0, 0]]), np.array([[1, 1, 0], [1, 0, 0]])
    (embedding,) = session.run(["embedding"], {"input_ids": ids, "attention_mask": mask})
    np.testing.assert_allclose(embedding, [[0.6, 0.8], [0.5**0.5, 0.5**0.5]], atol=1e-6)


def test_another_kind_of_model_is_refused(encoder):
    """A graph without token ids and mask is not an encoder, and the error says what it has instead."""
    with pytest.raises(BuildError, match="inputs are input_ids, pixels"):
        sentence_encoder.build(encoder("input_ids", "pixels"))
