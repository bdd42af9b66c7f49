"""What is measured of a model's inputs and outputs, as its catalog entry says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from services.mesh.ports import Array

# Of what: a number an item, a class an item, or a vector an item.
Of = Literal["length", "sum", "mean", "loudness", "maximum", "class", "first", "vector"]


class Measure(BaseModel):
    """One property of a tensor, input or output, of each item of a batch.

    of: "length" is its size along the last axis; "sum" and "mean" of all values; "loudness" the root of the mean square
    in decibels; "maximum" the largest value, as the confidence among scores; "class" the index of the largest value;
    "first" the name that comes first in a text that is a JSON list of names with scores, "" of an empty list: names of
    the model's own vocabulary, and never a caller's words; "vector" all values.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    tensor: str
    of: Of

    def take(self, arrays: Mapping[str, Array], *, batched: bool) -> Array | None:
        """The property of each of N items: float32[N], float32[N, D] for vectors, object[N] for classes.

        None when the tensor was not part of the call. batched: whether the first axis counts items.
        """
        array = arrays.get(self.tensor)
        if array is None or not array.size:
            return None
        items = array.reshape(len(array) if batched else 1, -1)
        if self.of == "class":
            return np.array([str(each) for each in items.argmax(axis=1)], object)
        if self.of == "first":
            return np.array([_first(each) for each in items[:, 0]], object)
        if self.of == "length":
            return np.full(len(items), array.shape[-1], np.float32)
        return _numbers(items, self.of)


def _numbers(items: Array, of: Of) -> NDArray[np.float32]:
    if of == "vector":
        return items.astype(np.float32)
    if of == "loudness":
        squares = np.mean(np.square(items, dtype=np.float32), axis=1)
        return np.asarray(10 * np.log10(squares + 1e-10), np.float32)
    if of == "maximum":
        return np.asarray(items.max(axis=1), np.float32)
    return np.asarray(items.sum(axis=1) if of == "sum" else items.mean(axis=1), np.float32)


def _first(text: bytes) -> str:
    named = json.loads(text)
    return str(named[0][0]) if named else ""
