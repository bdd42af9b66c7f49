"""numpy arrays to maas.type.v1.Tensor and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maas.type.v1 import tensor_pb2 as pb

DTYPES: dict[pb.DataType.ValueType, np.dtype[np.generic]] = {
    pb.DATA_TYPE_UINT8: np.dtype("<u1"),
    pb.DATA_TYPE_INT16: np.dtype("<i2"),
    pb.DATA_TYPE_INT64: np.dtype("<i8"),
    pb.DATA_TYPE_FLOAT32: np.dtype("<f4"),
}
DATA_TYPES = {dtype: data_type for data_type, dtype in DTYPES.items()}


def to_proto(array: NDArray[np.generic]) -> pb.Tensor:
    """Any shape, dtype uint8, int16, int64 or float32 -> Tensor. Raises KeyError for another dtype."""
    return pb.Tensor(data_type=DATA_TYPES[array.dtype], shape=array.shape, content=array.tobytes())


def from_proto(tensor: pb.Tensor) -> NDArray[np.generic]:
    """Tensor -> a read-only array over the message's own bytes, without a copy."""
    return np.frombuffer(tensor.content, dtype=DTYPES[tensor.data_type]).reshape(tuple(tensor.shape))
