"""What is kept of many observations, bounded however many they are, and how far two of them are apart."""

from __future__ import annotations

import base64
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from datasketches import kll_floats_sketch
from numpy.typing import NDArray

from services.mesh.drift.measures import Of
from services.mesh.ports import Array

# Ranks are right within 1.3 % (Karnin, Lang, Liberty: Optimal Quantile Approximation in Streams, 2016); 1.3 kB.
_SKETCH_K = 200
_DECILES = [tenth / 10 for tenth in range(1, 10)]
# Classes beyond these count as one.
_MOST_CLASSES = 1024
# More make noise: with 15, chance alone makes .1 at most of 1,000 items of 1,000 classes alike; with 50 it made .19.
_COMPARED_CLASSES = 15


class Summary(ABC):
    """Of one measure of one model."""

    @property
    @abstractmethod
    def count(self) -> int:
        """Items so far."""

    @abstractmethod
    def add(self, values: Array) -> None:
        """Take in what a measure gave of some items."""

    @abstractmethod
    def shift(self, reference: Self) -> float:
        """How far this is from the reference; 0 is not at all. Needs items on both sides."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """For a file."""

    @classmethod
    @abstractmethod
    def from_json(cls, kept: dict[str, Any]) -> Self:
        """The contrary."""


class Distribution(Summary):
    """Of numbers.

    Its shift is the population stability index over the deciles of the reference (Siddiqi, Credit Risk Scorecards,
    2006): below 0.1 nothing has changed, above 0.25 much has.
    """

    def __init__(self, sketch: kll_floats_sketch | None = None) -> None:
        self._sketch = sketch or kll_floats_sketch(_SKETCH_K)

    @property
    def count(self) -> int:
        """Items so far."""
        return int(self._sketch.n)

    def add(self, values: Array) -> None:
        """values: float32[N]; what is no number is left out."""
        self._sketch.update(values[np.isfinite(values)])

    def shift(self, reference: Self) -> float:
        """The index."""
        # The last part, in which the reference has nothing, is what lies above all that it saw.
        above = float(np.nextafter(np.float32(reference._sketch.get_max_value()), np.float32(np.inf)))
        edges = sorted({*reference._sketch.get_quantiles(_DECILES), above})
        return _stability(reference._sketch.get_pmf(edges), self._sketch.get_pmf(edges), reference.count, self.count)

    def to_json(self) -> dict[str, Any]:
        """The sketch."""
        return {"sketch": base64.b64encode(self._sketch.serialize()).decode()}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Self:
        """The contrary."""
        return cls(kll_floats_sketch.deserialize(base64.b64decode(kept["sketch"])))


class Mix(Summary):
    """Of classes.

    Its shift is the same index, over the most frequent classes of the reference and all others.
    """

    def __init__(self, counts: dict[str, int] | None = None) -> None:
        self._counts: Counter[str] = Counter(counts)

    @property
    def count(self) -> int:
        """Items so far."""
        return self._counts.total()

    def add(self, values: Array) -> None:
        """values: object[N] of str."""
        for each in values:
            known = each in self._counts or len(self._counts) < _MOST_CLASSES
            self._counts[each if known else ""] += 1

    def shift(self, reference: Self) -> float:
        """The index."""
        compared = [name for name, _ in reference._counts.most_common(_COMPARED_CLASSES)]
        return _stability(reference._shares(compared), self._shares(compared), reference.count, self.count)

    def _shares(self, compared: Iterable[str]) -> list[float]:
        shares = [self._counts[name] / self.count for name in compared]
        return [*shares, max(0.0, 1 - sum(shares))]

    def to_json(self) -> dict[str, Any]:
        """The counts."""
        return {"counts": dict(self._counts)}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Self:
        """The contrary."""
        return cls({str(name): int(count) for name, count in kept["counts"].items()})


class Centre(Summary):
    """Of vectors, such as embeddings.

    Its shift is the distance between the two means in units of the reference's own spread (the root of its total
    variance): with 1,000 items on either side chance alone makes some 0.05.
    """

    def __init__(self, count: int = 0, total: NDArray[np.float64] | None = None, squares: float = 0.0) -> None:
        self._count = count
        self._total = np.zeros(0) if total is None else total
        self._squares = squares

    @property
    def count(self) -> int:
        """Items so far."""
        return self._count

    def add(self, values: Array) -> None:
        """values: float32[N, D]; vectors of another length than before begin anew."""
        if self._total.size != values.shape[1]:
            self._count, self._total, self._squares = 0, np.zeros(values.shape[1]), 0.0
        self._count += len(values)
        self._total += values.sum(axis=0, dtype=np.float64)
        self._squares += float(np.square(values, dtype=np.float64).sum())

    def shift(self, reference: Self) -> float:
        """The distance; 1 between vectors of different lengths."""
        if self._total.size != reference._total.size:
            return 1.0
        before = reference._total / reference.count
        spread = math.sqrt(max(reference._squares / reference.count - float(before @ before), 1e-12))
        return float(np.linalg.norm(self._total / self.count - before)) / spread

    def to_json(self) -> dict[str, Any]:
        """The sums."""
        return {"count": self.count, "total": self._total.tolist(), "squares": self._squares}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Self:
        """The contrary."""
        return cls(int(kept["count"]), np.array(kept["total"], np.float64), float(kept["squares"]))


def summary_of(of: Of) -> type[Summary]:
    """What keeps such values."""
    kinds: dict[str, type[Summary]] = {"class": Mix, "first": Mix, "vector": Centre}
    return kinds.get(of, Distribution)


def _stability(before: Iterable[float], now: Iterable[float], before_count: int, now_count: int) -> float:
    """Sum of (q - p) ln(q / p); half an item stands in for a part that is empty, whose logarithm there is not."""
    pairs = [(max(p, 0.5 / before_count), max(q, 0.5 / now_count)) for p, q in zip(before, now, strict=True) if p or q]
    return sum((q - p) * math.log(q / p) for p, q in pairs)
