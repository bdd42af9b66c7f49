"""Puts the preparation of pictures in front of Yahoo's open_nsfw network in ONNX."""

from __future__ import annotations

from deploy.models.builders import Options as BaseOptions
from deploy.models.builders import Work

VERSIONS = ("onnx",)
OPSET = 17
IR_VERSION = 8
SIDE = 256
MARGIN = 16  # cut off on each side: what is left is what the network takes
# Of blue, green and red in the data that the network was trained on.
MEAN_BGR = (104.0, 117.0, 123.0)


class Options(BaseOptions):
    """weights: the source file, an ONNX graph from float32[N, 224, 224, 3] to float32[N, 2]."""

    weights: str


def build(work: Work) -> dict[str, float]:
    """Write model.onnx: images uint8[N, 256, 256, 3] RGB -> scores float32[N, 2], safe and unsafe."""
    import numpy as np  # noqa: PLC0415 - only when building
    import onnx  # noqa: PLC0415 - heavy

    helper = onnx.helper
    work.report("adding the preparation of pictures")
    model = onnx.version_converter.convert_version(onnx.load(str(work.file(work.options.weights))), OPSET)
    graph = model.graph
    pixels, scores = graph.input[0].name, graph.output[0].name
    constants = [
        onnx.numpy_helper.from_array(np.array([MARGIN, MARGIN], np.int64), "prepare_begin"),
        onnx.numpy_helper.from_array(np.array([SIDE - MARGIN, SIDE - MARGIN], np.int64), "prepare_end"),
        onnx.numpy_helper.from_array(np.array([1, 2], np.int64), "prepare_sides"),
        onnx.numpy_helper.from_array(np.array([2, 1, 0], np.int64), "prepare_bgr"),
        onnx.numpy_helper.from_array(np.array(MEAN_BGR, np.float32), "prepare_mean"),
    ]
    prepared = [
        helper.make_node("Slice", ["images", "prepare_begin", "prepare_end", "prepare_sides"], ["prepare_middle"]),
        helper.make_node("Gather", ["prepare_middle", "prepare_bgr"], ["prepare_reordered"], axis=3),
        helper.make_node("Cast", ["prepare_reordered"], ["prepare_floats"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Sub", ["prepare_floats", "prepare_mean"], [pixels]),
    ]
    named = helper.make_node("Identity", [scores], ["scores"])
    made = helper.make_model(
        helper.make_graph(
            [*prepared, *graph.node, named],
            "open_nsfw",
            [helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, ["batch", SIDE, SIDE, 3])],
            [helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["batch", 2])],
            [*graph.initializer, *constants],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="maas",
    )
    onnx.checker.check_model(made)
    onnx.save(made, str(work.folder / "model.onnx"))
    return {}
