"""What is measured of tensors."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from services.mesh.drift.measures import Measure, Of

BATCH = np.array([[1, 2, 3], [4, 6, 5]], np.float32)


@pytest.mark.parametrize(
    ("of", "expected"),
    [("length", [3, 3]), ("sum", [6, 15]), ("mean", [2, 5]), ("maximum", [3, 6]), ("class", ["2", "1"])],
)
def test_each_item_of_a_batch(of: Of, expected: list[object]):
    """A measure gives one value for each item of the first axis."""
    values = Measure(name="x", tensor="t", of=of).take({"t": BATCH}, batched=True)
    assert list(values) == expected


def test_without_a_batch():
    """The tensor of a model without batches is one item."""
    assert list(Measure(name="x", tensor="t", of="sum").take({"t": BATCH}, batched=False)) == [21]


def test_vectors():
    """A vector has all values of an item, whatever their shape."""
    values = Measure(name="x", tensor="t", of="vector").take({"t": np.ones((2, 3, 4), np.float16)}, batched=True)
    assert (values.shape, values.dtype) == ((2, 12), np.float32)


def test_pixels_do_not_overflow():
    """The sum and mean of bytes are those of their numbers."""
    white = np.full((1, 300, 300, 3), 255, np.uint8)
    assert Measure(name="x", tensor="t", of="mean").take({"t": white}, batched=True)[0] == 255
    assert Measure(name="x", tensor="t", of="sum").take({"t": white}, batched=True)[0] == 255 * 300 * 300 * 3


def test_loudness():
    """A full sine is 3 dB below full scale, a tenth of it 20 dB less, and silence has a floor."""
    sine = np.sin(np.arange(16000) / 16000 * 440 * 2 * np.pi).astype(np.float32)
    measure = Measure(name="x", tensor="t", of="loudness")
    loud, quiet, silent = (
        measure.take({"t": each[None]}, batched=False)[0] for each in (sine, sine / 10, np.zeros_like(sine))
    )
    assert loud == pytest.approx(-3.01, abs=0.05)
    assert loud - quiet == pytest.approx(20, abs=0.01)
    assert silent == pytest.approx(-100)


def test_the_first_of_a_list_of_names():
    """Of a JSON list of names with scores the first name counts, and an empty list is a class of its own."""
    texts = np.array([[b'[["de", 0.9], ["nl", 0.1]]'], [b"[]"]], object)
    assert list(Measure(name="x", tensor="t", of="first").take({"t": texts}, batched=True)) == ["de", ""]


@pytest.mark.parametrize("arrays", [{}, {"t": np.zeros((0, 3), np.float32)}])
def test_calls_without_the_tensor(arrays: dict[str, np.ndarray]):
    """A call that did not ask for the tensor, or had no items, is not measured."""
    assert Measure(name="x", tensor="t", of="mean").take(arrays, batched=True) is None


def test_measures_that_do_not_exist():
    """A measure or a field that does not exist is an error, not silence."""
    with pytest.raises(ValidationError):
        Measure(name="x", tensor="t", of="median")
    with pytest.raises(ValidationError):
        Measure(name="x", tensor="t", of="mean", bins=10)
