"""numpy arrays as the KServe v2 protocol carries them: a datatype's name and raw little-endian bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from services.mesh.ports import Array

DATATYPES = {
    np.dtype("bool"): "BOOL",
    np.dtype("uint8"): "UINT8",
    np.dtype("uint32"): "UINT32",
    np.dtype("int32"): "INT32",
    np.dtype("int64"): "INT64",
    np.dtype("float32"): "FP32",
    np.dtype("object"): "BYTES",
}
_DTYPES = {name: dtype for dtype, name in DATATYPES.items()}


def encode(array: Array) -> bytes:
    """The content of a tensor; an array of objects holds bytes, each of which goes with its length before it."""
    if array.dtype != np.dtype("object"):
        return array.tobytes()
    return b"".join(struct.pack("<I", len(text)) + text for text in array.flat)


def decode(content: bytes, datatype: str, shape: tuple[int, ...]) -> Array:
    """A tensor's content as a read-only array, without a copy; texts as an array of bytes objects."""
    if datatype != "BYTES":
        return np.frombuffer(content, dtype=_DTYPES[datatype]).reshape(shape)
    texts, position = [], 0
    while position < len(content):
        (length,) = struct.unpack_from("<I", content, position)
        texts.append(content[position + 4 : position + 4 + length])
        position += 4 + length
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array.reshape(shape)
