"""Makes CenterFace a model that answers with faces: a picture of any size in; boxes, scores and landmarks out.

The network (Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2019) gives maps at a
quarter of the resolution. They are decoded inside the graph: of neighbouring cells the best stays (a max pool stands
for suppression), and only the best cells leave the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from deploy.models.builders import BuildError, Work
from deploy.models.builders import Options as BaseOptions

if TYPE_CHECKING:
    import onnx

VERSIONS = ("onnx",)
OPSET = 17
IR_VERSION = 8
MAPS = 4

# The network takes float RGB 0..255 with sides that are multiples of 32. What a picture lacks is black, at the right
# and at the bottom; at least 64 pixels a side, so that the smallest picture has cells enough for 256 detections.
HEAD = """
head (uint8[N, H, W, 3] images) => (float[N, 3, H2, W2] pixels) {
  size = Shape <start = 1, end = 3> (images)
  multiple = Constant <value = int64 {32}> ()
  nearly = Constant <value = int64 {31}> ()
  least = Constant <value = int64 {64}> ()
  reached = Add (size, nearly)
  count = Div (reached, multiple)
  rounded = Mul (count, multiple)
  whole = Max (rounded, least)
  missing = Sub (whole, size)
  front = Constant <value = int64[5] {0, 0, 0, 0, 0}> ()
  none = Constant <value = int64[1] {0}> ()
  pads = Concat <axis = 0> (front, missing, none)
  padded = Pad (images, pads)
  planes = Transpose <perm = [0, 3, 1, 2]> (padded)
  pixels = Cast <to = 1> (planes)
}
"""

# Cells are 4 pixels wide and high. size: log height and width of the box in cells; offset: of its centre from the
# middle of the cell, y and x; marks: five points, y and x, from the box's top left corner in heights and widths of it.
# The eye that the network tells first is the person's right one, at the left of the picture when the face is upright;
# our order begins with the person's left.
TAIL = """
tail (float[N, 1, h, w] heat, float[N, 2, h, w] size_map, float[N, 2, h, w] offset_map, float[N, 10, h, w] marks_map)
  => (float[N, K, 4] boxes, float[N, K] scores, float[N, K, 5, 2] landmarks) {
  highest = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (heat)
  is_peak = Equal (heat, highest)
  one_if_peak = Cast <to = 1> (is_peak)
  peaks = Mul (heat, one_if_peak)
  in_a_row = Constant <value = int64[2] {0, -1}> ()
  peak_row = Reshape (peaks, in_a_row)
  most = Constant <value = int64[1] {%(count)d}> ()
  scores, places = TopK <axis = 1> (peak_row, most)

  maps = Concat <axis = 1> (size_map, offset_map, marks_map)
  in_columns = Constant <value = int64[3] {0, 14, -1}> ()
  columns = Reshape (maps, in_columns)
  cells = Transpose <perm = [0, 2, 1]> (columns)
  last = Constant <value = int64[1] {-1}> ()
  place = Unsqueeze (places, last)
  picked = GatherND <batch_dims = 1> (cells, place)
  lengths = Constant <value = int64[3] {2, 2, 10}> ()
  log_extent, offset, marks = Split <axis = 2> (picked, lengths)

  width = Shape <start = 3, end = 4> (heat)
  row = Div (place, width)
  column = Mod (place, width)
  cell = Concat <axis = 2> (row, column)
  corner = Cast <to = 1> (cell)
  half = Constant <value = float {0.5}> ()
  four = Constant <value = float {4.0}> ()
  middle = Add (corner, half)
  moved = Add (middle, offset)
  centre = Mul (moved, four)
  scale = Exp (log_extent)
  extent = Mul (scale, four)
  half_extent = Mul (extent, half)
  low = Sub (centre, half_extent)
  high = Add (centre, half_extent)

  pixels_of_picture = Cast <to = 1> (size)
  four_sides = Concat <axis = 0> (pixels_of_picture, pixels_of_picture)
  corners = Concat <axis = 2> (low, high)
  fractions = Div (corners, four_sides)
  zero = Constant <value = float {0.0}> ()
  one = Constant <value = float {1.0}> ()
  boxes = Clip (fractions, zero, one)

  in_points = Constant <value = int64[4] {0, 0, 5, 2}> ()
  points = Reshape (marks, in_points)
  third = Constant <value = int64[1] {2}> ()
  each_extent = Unsqueeze (extent, third)
  each_low = Unsqueeze (low, third)
  from_low = Mul (points, each_extent)
  on_picture = Add (from_low, each_low)
  y_and_x = Div (on_picture, pixels_of_picture)
  swapped = Constant <value = int64[2] {1, 0}> ()
  x_and_y = Gather <axis = 3> (y_and_x, swapped)
  own_order = Constant <value = int64[5] {1, 0, 2, 4, 3}> ()
  landmarks = Gather <axis = 2> (x_and_y, own_order)
}
"""


class Options(BaseOptions):
    """weights: CenterFace as ONNX, with the outputs heatmap, size, offset and landmarks in this order."""

    weights: str
    max_detections: int = Field(100, gt=0, le=256)


def build(work: Work) -> dict[str, float]:
    """Write model.onnx: images uint8[N, H, W, 3] -> boxes [N, K, 4], scores [N, K], landmarks [N, K, 5, 2]."""
    import onnx  # noqa: PLC0415 - heavy

    options: Options = work.options
    work.report("adding the decoder")
    network = onnx.version_converter.convert_version(onnx.load(str(work.file(options.weights))), OPSET).graph
    weights = {tensor.name for tensor in network.initializer}
    pictures = [tensor.name for tensor in network.input if tensor.name not in weights]
    maps = [tensor.name for tensor in network.output]
    if len(pictures) != 1 or len(maps) != MAPS:
        message = f"{options.weights} has {len(pictures)} inputs and {len(maps)} outputs, expected 1 and {MAPS}."
        raise BuildError(message)
    head = onnx.parser.parse_graph(HEAD)
    tail = onnx.parser.parse_graph(TAIL % {"count": options.max_detections})
    _rename(network, dict(zip([*pictures, *maps], ["pixels", *(tensor.name for tensor in tail.input)], strict=True)))
    nodes = [*head.node, *network.node, *tail.node]
    graph = onnx.helper.make_graph(nodes, "centerface", head.input, tail.output, network.initializer)
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="maas")
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(work.folder / "model.onnx"))
    return {}


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Call the tensors by other names; all others get a prefix, so that none of them is one of ours."""
    for tensor in graph.initializer:
        tensor.name = f"network/{tensor.name}"
    for node in graph.node:
        node.name = f"network/{node.name}" if node.name else ""
        for side in (node.input, node.output):
            for index, name in enumerate(side):
                side[index] = names.get(name, f"network/{name}") if name else ""
