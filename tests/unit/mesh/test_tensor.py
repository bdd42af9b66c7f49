"""Tensors to protobuf and back."""

import numpy as np
import pytest

from services.mesh import tensor


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "float32"])
def test_a_tensor_comes_back_as_it_was(dtype):
    """Values, shape and type survive, empty dimensions included."""
    for shape in ((2, 3), (0, 4), (5,)):
        array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
        back = tensor.from_proto(tensor.to_proto(array))
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)


def test_reading_a_tensor_copies_nothing():
    """The array lies over the message's own bytes, so it cannot be written to."""
    assert not tensor.from_proto(tensor.to_proto(np.zeros(3, np.float32))).flags.writeable
