"""Appends mean pooling and L2 normalisation to a transformer's ONNX graph: token ids in, one unit vector out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.models.builders import BuildError, Work
from deploy.models.builders import Options as BaseOptions

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

VERSIONS = ("onnx",)


class Options(BaseOptions):
    """weights: an ONNX encoder with input_ids, attention_mask, perhaps token_type_ids -> [batch, sequence, width]."""

    weights: str


def build(work: Work) -> dict[str, float]:
    """Write model.onnx: input_ids int64[N, L], attention_mask int64[N, L] -> embedding float32[N, width]."""
    import onnx  # noqa: PLC0415 - heavy

    options: Options = work.options
    work.report("adding the pooling")
    model = load_encoder(work.file(options.weights))
    pooled = append_mean_pooling(model)
    model.graph.node.append(onnx.helper.make_node("LpNormalization", [pooled], ["embedding"], axis=-1, p=2))
    finish(model, "embedding", work.folder / "model.onnx")
    return {}


def load_encoder(path: Path) -> onnx.ModelProto:
    """Read the encoder; token type ids, when it asks for them, become zeros made inside the graph."""
    import onnx  # noqa: PLC0415 - heavy

    model = onnx.load(str(path))
    # So that none of the encoder's own names can meet one of ours.
    model = onnx.compose.add_prefix(model, "encoder/", rename_inputs=False)
    graph = model.graph
    names = [tensor.name for tensor in graph.input]
    if not {"input_ids", "attention_mask"} <= set(names):
        message = f"the encoder's inputs are {', '.join(names)}, expected input_ids and attention_mask."
        raise BuildError(message)
    if "token_type_ids" in names:
        del graph.input[names.index("token_type_ids")]
        zeros = [
            onnx.helper.make_node("Shape", ["input_ids"], ["token_shape"]),
            onnx.helper.make_node(
                "ConstantOfShape",
                ["token_shape"],
                ["token_type_ids"],
                value=onnx.helper.make_tensor("zero", onnx.TensorProto.INT64, [1], [0]),
            ),
        ]
        for index, node in enumerate(zeros):
            graph.node.insert(index, node)
    return model


def append_mean_pooling(model: onnx.ModelProto) -> str:
    """Add the mean over the tokens that the mask keeps; returns the tensor's name, float32[N, width]."""
    import numpy as np  # noqa: PLC0415 - only when building
    import onnx  # noqa: PLC0415 - heavy

    graph = model.graph
    states = graph.output[0].name
    node = onnx.helper.make_node
    last = onnx.numpy_helper.from_array(np.array([-1], np.int64), "pool_last")
    tokens = onnx.numpy_helper.from_array(np.array([1], np.int64), "pool_tokens")
    graph.initializer.extend([last, tokens])
    graph.node.extend(
        [
            node("Unsqueeze", ["attention_mask", "pool_last"], ["pool_mask"]),
            node("Cast", ["pool_mask"], ["pool_weight"], to=onnx.TensorProto.FLOAT),
            node("Mul", [states, "pool_weight"], ["pool_kept"]),
            node("ReduceSum", ["pool_kept", "pool_tokens"], ["pool_sum"], keepdims=0),
            node("ReduceSum", ["pool_weight", "pool_tokens"], ["pool_count"], keepdims=0),
            node("Div", ["pool_sum", "pool_count"], ["pool_mean"]),
        ]
    )
    return "pool_mean"


def finish(model: onnx.ModelProto, output: str, path: Path) -> None:
    """Make `output`, float32[N, any], the only output; check the graph and write it."""
    import onnx  # noqa: PLC0415 - heavy

    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, ["batch", None]))
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
