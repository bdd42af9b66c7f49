"""CenterFace's decoder, around a network of which we know what it gives."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from deploy.models.builders import BuildError, Work, centerface

HEIGHT, WIDTH = 96, 160
CELLS = (HEIGHT // 4, WIDTH // 4)


def network(heat, maps, names=("heat", "size", "offset", "marks")):
    """A network as ONNX that gives these maps whatever the picture, added to the picture's own nothing."""
    node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    real = onnx.TensorProto.FLOAT
    given = dict(zip(("heat", "size", "offset", "marks"), (heat, *maps), strict=True))
    nodes = [
        node("ReduceMean", ["input.1"], ["mean"], axes=[1, 2, 3], keepdims=1),
        node("Sub", ["mean", "mean"], ["nothing"]),
        *(node("Add", [f"given/{name}", "nothing"], [name]) for name in names),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "known",
        [value("input.1", real, ["n", 3, "h", "w"])],
        [value(name, real, None) for name in names],
        [
            onnx.numpy_helper.from_array(array[None].astype(np.float32), f"given/{name}")
            for name, array in given.items()
        ],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 9)], ir_version=4)


@pytest.fixture
def build(tmp_path):
    """Build the model around a network, and return what runs it on a picture of some size."""

    def make(made, **options):
        onnx.save(made, str(tmp_path / "network.onnx"))
        (tmp_path / "1").mkdir()
        work = Work(
            centerface.Options(weights="network.onnx", **options),
            {"network.onnx": tmp_path / "network.onnx"},
            tmp_path / "1",
            lambda _words: None,
        )
        centerface.build(work)
        session = onnxruntime.InferenceSession(str(tmp_path / "1" / "model.onnx"), providers=["CPUExecutionProvider"])
        return lambda height, width, rows=1: session.run(
            ["boxes", "scores", "landmarks"], {"images": np.zeros((rows, height, width, 3), np.uint8)}
        )

    return make


def maps():
    """No face anywhere: heat float[1, h, w]; size, offset float[2, h, w]; marks float[10, h, w]."""
    return (
        np.zeros((1, *CELLS)),
        (np.zeros((2, *CELLS)), np.zeros((2, *CELLS)), np.zeros((10, *CELLS))),
    )


def test_a_face_is_decoded(build):
    """Box and landmarks are fractions of the picture as it was, and the person's left comes first."""
    heat, (size, offset, marks) = maps()
    heat[0, 10, 20] = 0.9
    size[:, 10, 20] = np.log([10, 5])  # 40 pixels high, 20 wide
    offset[:, 10, 20] = [0.25, -0.25]  # centre: y (10.5 + .25) * 4 = 43, x (20.5 - .25) * 4 = 81
    marks[:, 10, 20] = [0.3, 0.2, 0.3, 0.8, 0.5, 0.5, 0.7, 0.3, 0.7, 0.7]
    boxes, scores, landmarks = build(network(heat, (size, offset, marks)))(90, 150)
    assert scores.shape == (1, 100)
    np.testing.assert_allclose(scores[0, :2], [0.9, 0], atol=1e-6)
    np.testing.assert_allclose(boxes[0, 0] * [90, 150, 90, 150], [23, 71, 63, 91], rtol=1e-4)
    expected = [[87, 35], [75, 35], [81, 43], [85, 51], [77, 51]]
    np.testing.assert_allclose(landmarks[0, 0] * [150, 90], expected, rtol=1e-4)


def test_of_neighbours_the_best_stays(build):
    """Cells beside a better one are no faces of their own; others come best first, as many as were asked for."""
    heat, others = maps()
    heat[0, 10, 20:23] = [0.7, 0.9, 0.8]
    heat[0, 2, 2] = 0.95
    _, scores, _ = build(network(heat, others), max_detections=3)(HEIGHT, WIDTH, rows=2)
    np.testing.assert_allclose(scores, [[0.95, 0.9, 0]] * 2, atol=1e-6)


def test_boxes_end_at_the_picture(build):
    """A box that leaves the picture is cut; its landmarks stay where they are, outside."""
    heat, (size, offset, marks) = maps()
    heat[0, 0, 0] = 0.9
    size[:, 0, 0] = np.log([10, 10])
    boxes, _, landmarks = build(network(heat, (size, offset, marks)))(HEIGHT, WIDTH)
    np.testing.assert_allclose(boxes[0, 0], [0, 0, 22 / HEIGHT, 22 / WIDTH], rtol=1e-4)
    np.testing.assert_allclose(landmarks[0, 0, 0], [-18 / WIDTH, -18 / HEIGHT], rtol=1e-4)


@pytest.mark.parametrize(("side", "padded"), [(1, 64), (64, 64), (65, 96)])
def test_any_size_is_filled_up(build, tmp_path, side, padded):
    """The network sees multiples of 32, at least 64."""
    heat, others = maps()
    build(network(heat, others))
    model = onnx.load(str(tmp_path / "1" / "model.onnx"))
    model.graph.output.append(onnx.helper.make_tensor_value_info("pixels", onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (pixels,) = session.run(["pixels"], {"images": np.full((1, side, 40, 3), 255, np.uint8)})
    assert pixels.shape == (1, 3, padded, 64)
    assert pixels.sum() == side * 40 * 3 * 255
    assert (pixels[:, :, :side, :40] == 255).all()


def test_another_kind_of_network_is_refused(build):
    """A network with other outputs is none that can be decoded, and the error says what it has."""
    heat, others = maps()
    with pytest.raises(BuildError, match="has 1 inputs and 2 outputs"):
        build(network(heat, others, names=("heat", "size")))
