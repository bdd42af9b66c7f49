"""Converts MoveNet, the single-person pose network of TensorFlow.js, to ONNX.

The convolutional body is converted node by node. What follows it decodes one picture at a time, so it is written anew
for any number of them: the person nearest the middle is found first, that person's keypoints are foretold from its
centre, and of each keypoint's heat map the best cell near the foretold place wins.
"""

from __future__ import annotations

from deploy.models.builders import Options as BaseOptions
from deploy.models.builders import Work
from deploy.models.builders._tfjs import Graph
from deploy.models.builders._tfjs_operators import OPERATORS

VERSIONS = ("onnx", "numpy")
KEYPOINTS = 17

ROOT = "StatefulPartitionedCall/"
PICTURES = "stack"  # float NHWC 0..255, before the network's own normalisation
# What the body says of each of the grid's cells: whether a person's centre and its keypoints are there, how far the
# keypoints are from a centre, and how far from the cell's corner a keypoint is.
MAPS = {
    "centre": "Sigmoid_1",
    "heat": "Sigmoid",
    "reach": "kpt_regress_0/conv2d_6/BiasAdd",
    "offset": "kpt_offset_0/conv2d_7/BiasAdd",
}
# Weights of the original decoder, under the names that they have in ours.
CONSTANTS = {
    "centrality": "ConstantFolding/StatefulPartitionedCall/truediv_2_recip",  # how near a cell is to the middle
    "rows": "StatefulPartitionedCall/strided_slice_3",
    "columns": "StatefulPartitionedCall/strided_slice_4",
    "softening": "StatefulPartitionedCall/add_5/y",  # added to the distance by which a keypoint's heat is divided
}

# [N, K, ...]; pairs are y and x, in cells of the grid, until the last lines.
DECODER = """
decoder (float[N, 1, S, S] centre, float[N, K, S, S] heat, float[N, K2, S, S] reach, float[N, K2, S, S] offset)
  => (float[N, K, 3] keypoints) {
  side = Shape <start = 3, end = 4> (heat)
  one = Constant <value = int64[1] {1}> ()
  last = Constant <value = int64[1] {-1}> ()
  as_row = Constant <value = int64[2] {0, -1}> ()
  as_rows = Constant <value = int64[3] {0, %(keypoints)d, -1}> ()
  as_pairs = Constant <value = int64[4] {0, %(keypoints)d, 2, -1}> ()

  likely = Mul (centre, centrality)
  likely_row = Reshape (likely, as_row)
  middle = ArgMax <axis = 1, keepdims = 1> (likely_row)
  middle_y = Div (middle, side)
  middle_x = Mod (middle, side)
  middle_both = Concat <axis = 1> (middle_y, middle_x)
  middle_float = Cast <to = 1> (middle_both)
  middle_pair = Unsqueeze (middle_float, one)

  reach_pairs = Reshape (reach, as_pairs)
  reach_cells = Transpose <perm = [0, 3, 1, 2]> (reach_pairs)
  reached = GatherND <batch_dims = 1> (reach_cells, middle)
  foretold = Add (reached, middle_pair)

  far = Unsqueeze (foretold, last)
  y, x = Split <axis = 2, num_outputs = 2> (far)
  away_y = Sub (rows, y)
  away_x = Sub (columns, x)
  square_y = Mul (away_y, away_y)
  square_x = Mul (away_x, away_x)
  square = Add (square_y, square_x)
  distance = Sqrt (square)
  softened = Add (distance, softening)
  near = Div (heat, softened)
  near_rows = Reshape (near, as_rows)
  cell = ArgMax <axis = 2, keepdims = 1> (near_rows)
  cell_y = Div (cell, side)
  cell_x = Mod (cell, side)
  cell_both = Concat <axis = 2> (cell_y, cell_x)
  corner = Cast <to = 1> (cell_both)

  heat_rows = Reshape (heat, as_rows)
  score = GatherElements <axis = 2> (heat_rows, cell)
  offset_pairs = Reshape (offset, as_pairs)
  offset_cells = Transpose <perm = [0, 1, 3, 2]> (offset_pairs)
  own_offset = GatherND <batch_dims = 2> (offset_cells, cell)
  place = Add (corner, own_offset)
  side_float = Cast <to = 1> (side)
  y_and_x = Div (place, side_float)
  swapped = Constant <value = int64[2] {1, 0}> ()
  x_and_y = Gather <axis = 2> (y_and_x, swapped)
  keypoints = Concat <axis = 2> (x_and_y, score)
}
"""


class Options(BaseOptions):
    """graph: model.json among the source files; its weights lie beside it."""

    graph: str


def build(work: Work) -> dict[str, float]:
    """Write model.onnx: images uint8[N, S, S, 3] RGB -> keypoints float32[N, 17, 3]: x, y as fractions, score."""
    import onnx  # noqa: PLC0415 - heavy

    options: Options = work.options
    work.report("converting to ONNX")
    graph = Graph.read(work, options.graph, OPERATORS)
    graph.pictures(ROOT + PICTURES)
    for name, node in MAPS.items():
        graph.add("Identity", [graph.tensor(ROOT + node)], name)
    for name, node in CONSTANTS.items():
        value = graph.weights[node]
        graph.constant(name, value[..., 0] if value.ndim else value)
    graph.append(DECODER % {"keypoints": KEYPOINTS})
    graph.save(work.folder / "model.onnx", {"keypoints": (onnx.TensorProto.FLOAT, [KEYPOINTS, 3])})
    return {}
