"""Reads a TensorFlow.js graph model and makes ONNX nodes of it, with numpy and onnx alone.

TensorFlow.js lays pictures out as NHWC, ONNX as NCHW: a picture's tensor is NCHW throughout, and constants that meet it
are turned on the way. Tensors without height and width ("plain") stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from deploy.models.builders import BuildError, Work

if TYPE_CHECKING:
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

OPSET = 18
IR_VERSION = 8
STORED = {"float32": "<f4", "int32": "<i4", "float16": "<f2", "uint8": "<u1", "uint16": "<u2"}

# Shares of red, green and blue in each channel that a network takes; grey as in ITU-R BT.601.
MIXES = {
    "rgb": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "bgr": ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
    "grey": ((0.299, 0.587, 0.114),),
}

Channels = Literal["rgb", "bgr", "grey"]
Node = dict[str, Any]
Converter = Callable[["Graph", Node], str]


def read_weights(content: bytes, entries: list[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    """Cut the joined weight files of one group into named arrays, float32 or int32.

    entries: of the manifest. float16 is widened; uint8 and uint16 are stored as steps of `scale` above `min`.
    """
    import numpy as np  # noqa: PLC0415 - only when building

    arrays: dict[str, NDArray[Any]] = {}
    offset = 0
    for entry in entries:
        steps = entry.get("quantization", {})
        stored = steps.get("dtype", entry["dtype"])
        if entry["dtype"] not in {"float32", "int32"} or stored not in STORED:
            message = f"weight {entry['name']} is a {entry['dtype']} stored as {stored}, which cannot be read."
            raise BuildError(message)
        count = int(np.prod(entry["shape"], dtype=np.int64))
        array: NDArray[Any] = np.frombuffer(content, dtype=STORED[stored], count=count, offset=offset)
        offset += array.nbytes
        if "scale" in steps:
            array = array * np.float32(steps["scale"]) + np.float32(steps["min"])
        arrays[entry["name"]] = array.reshape(entry["shape"]).astype(entry["dtype"])
    return arrays


@dataclass
class Graph:
    """The TensorFlow graph that is read and the ONNX nodes that are made of it, on demand, from the outputs back.

    names: TensorFlow node -> its ONNX tensor; naming a node before it is converted cuts the graph there.
    plain: the nodes whose tensors have no height and width.
    """

    nodes: dict[str, Node]
    weights: dict[str, NDArray[Any]]
    converters: Mapping[str, Converter]
    made: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    plain: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, work: Work, file: str, converters: Mapping[str, Converter]) -> Graph:
        """The graph of this model.json, beside which its weights lie. converters: by TensorFlow operator."""
        description = json.loads(work.file(file).read_text(encoding="utf-8"))
        folder = file.rpartition("/")[0]
        weights: dict[str, NDArray[Any]] = {}
        for group in description["weightsManifest"]:
            paths = [f"{folder}/{path}" if folder else path for path in group["paths"]]
            weights |= read_weights(b"".join(work.file(path).read_bytes() for path in paths), group["weights"])
        nodes = {node["name"]: node for node in description["modelTopology"]["node"]}
        return cls(nodes, weights, converters)

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Append one ONNX node and return its output's name."""
        import onnx  # noqa: PLC0415 - heavy

        self.made.append(onnx.helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Add an initializer, once, and return its name."""
        import onnx  # noqa: PLC0415 - heavy

        if name not in self.constants:
            self.constants[name] = onnx.numpy_helper.from_array(value.copy(), name)
        return name

    def integers(self, *values: int) -> str:
        """An initializer int64[len(values)]."""
        import numpy as np  # noqa: PLC0415 - only when building

        return self.constant(f"integers/{','.join(map(str, values))}", np.array(values, np.int64))

    def append(self, text: str) -> None:
        """Append the nodes of a graph in ONNX's text form; it meets the others by the names of the tensors."""
        import onnx  # noqa: PLC0415 - heavy

        self.made.extend(onnx.parser.parse_graph(text).node)

    def pictures(
        self, node: str, channels: Channels = "rgb", scale: float = 1.0, offset: Sequence[float] = (0.0,)
    ) -> None:
        """Feed the model's input, images uint8[N, H, W, 3] RGB, to this node: reordered, times scale, plus offset.

        offset: one value, or one for each of the channels in their new order.
        """
        import numpy as np  # noqa: PLC0415 - only when building

        planes = self.add("Transpose", ["images"], "images/nchw", perm=[0, 3, 1, 2])
        last = self.add("Cast", [planes], "images/float", to=1)
        mix = np.array(MIXES[channels], np.float32)
        shift = np.broadcast_to(np.array(offset, np.float32), len(mix))
        if channels != "rgb" or scale != 1 or shift.any():
            weights = self.constant("images/mix", scale * mix[:, :, None, None])
            last = self.add("Conv", [last, weights, self.constant("images/offset", shift)], "images/normalised")
        self.names[node] = last

    def tensor(self, name: str) -> str:
        """The ONNX tensor for the output of a TensorFlow node; makes what is missing on the way there."""
        waiting = [name]
        while waiting:
            current = waiting[-1]
            sources = [] if current in self.names else self._sources(current)
            missing = [source for source in sources if source not in self.names]
            if missing:
                waiting.extend(missing)
                continue
            waiting.pop()
            if current not in self.names:
                if sources and all(source in self.plain for source in sources):
                    self.plain.add(current)
                self.names[current] = self._convert(current)
        return self.names[name]

    def _sources(self, name: str) -> list[str]:
        """The nodes whose outputs must be there before this one; constants are there always."""
        if name not in self.nodes:
            message = f"there is no node {name} in the graph: correct the catalog."
            raise BuildError(message)
        node = self.nodes[name]
        # A reshape's second input is its shape, which its converter takes apart itself.
        inputs = node["input"][:1] if node["op"] == "Reshape" else node.get("input", [])
        return [source for source in inputs if source not in self.weights]

    def _convert(self, name: str) -> str:
        node = self.nodes[name]
        convert = self.converters.get(node["op"])
        if convert is None:
            message = f"node {name} is a {node['op']}, which this builder cannot convert."
            raise BuildError(message)
        return convert(self, node)

    def operand(self, name: str, *, plain: bool) -> str:
        """An operand of an element-wise node: a tensor, or a constant laid out for what it meets."""
        import numpy as np  # noqa: PLC0415 - only when building

        if name not in self.weights:
            return self.tensor(name)
        value = self.weights[name]
        if plain or not value.ndim:
            return self.constant(name, value)
        pixels = value.reshape((1,) * (3 - value.ndim) + value.shape)
        return self.constant(f"{name}/nchw", np.moveaxis(pixels, -1, -3))

    def save(self, path: Path, outputs: Mapping[str, tuple[int, list[int | None]]]) -> None:
        """Check and write the model. outputs: name -> ONNX element type and shape without the batch dimension."""
        import onnx  # noqa: PLC0415 - heavy

        value = onnx.helper.make_tensor_value_info
        model = onnx.helper.make_model(
            onnx.helper.make_graph(
                self.made,
                path.stem,
                [value("images", onnx.TensorProto.UINT8, ["batch", "height", "width", 3])],
                [value(name, kind, ["batch", *shape]) for name, (kind, shape) in outputs.items()],
                list(self.constants.values()),
            ),
            opset_imports=[onnx.helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="maas",
        )
        onnx.checker.check_model(model)
        onnx.save(model, str(path))
