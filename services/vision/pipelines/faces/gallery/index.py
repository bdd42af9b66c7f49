"""Finds the vectors near a vector, with Faiss.

Few vectors are compared one by one. Above EXACT_FACES they lie in an inverted file (Sivic and Zisserman 2003, as Faiss
builds it): k-means cells, of which the nearest are searched. Both forget a removed vector for good, unlike a graph,
which keeps it as a way to others.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import faiss
import numpy as np
from numpy.typing import NDArray

# Up to here comparing with every vector takes no more than two milliseconds.
EXACT_FACES = 20_000
# With these the nearest face was the exact one in 998 of 1,000 searches and more, for a third of the time at 100,000
# faces; a quarter of the cells found it in 990 (tests/bench/gallery.py).
_FACES_A_CELL = 200
_SEARCHED_SHARE = 0.5
_LEAST_SEARCHED = 8
# k-means learns no more from more.
_SAMPLES_A_CELL = 64
_ITERATIONS = 8


class FaceIndex:
    """The vectors of one tenant and model, in memory, as of a change of the store. Safe to use from several threads.

    Faiss lets go of the interpreter's lock while it works, so that this belongs on a thread of its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._vectors: faiss.Index | None = None
        self._change = 0
        self._trained_for = 0

    @property
    def change(self) -> int:
        """Up to which change of the store it is complete."""
        return self._change

    def __len__(self) -> int:
        return self._vectors.ntotal if self._vectors is not None else 0

    def outgrown(self, more: int) -> bool:
        """Whether it should be built anew rather than take so many more: its cells were made for half as many."""
        return len(self) + more > max(EXACT_FACES, 2 * self._trained_for)

    def apply(
        self, since: int, change: int, numbers: NDArray[np.int64], vectors: NDArray[np.float32], removed: Sequence[int]
    ) -> None:
        """Bring it from one change of the store to a later one; does nothing when it is at another change by now.

        numbers: int64[N] of the new vectors float32[N, D]; removed: those to forget, which it may not have.
        """
        with self._lock:
            if self._change != since:
                return
            if self._vectors is not None and removed:
                self._vectors.remove_ids(faiss.IDSelectorBatch(np.asarray(removed, np.int64)))
            if len(numbers):
                if self._vectors is None:
                    self._vectors = self._made(vectors)
                self._vectors.add_with_ids(vectors, numbers)
            self._change = change

    def within(self, vector: NDArray[np.float32], max_distance: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """What is not farther from float32[D], nearest first: its numbers int64[H] and distances float32[H]."""
        with self._lock:
            if self._vectors is None:
                return np.empty(0, np.int64), np.empty(0, np.float32)
            # Faiss compares squares, and leaves out what lies on the radius.
            radius = max_distance**2 * (1 + 1e-5) + 1e-7
            _, squares, numbers = self._vectors.range_search(np.ascontiguousarray(vector[None], np.float32), radius)
        order = np.argsort(squares, kind="stable")
        return numbers[order], np.sqrt(np.maximum(squares[order], 0))

    def _made(self, vectors: NDArray[np.float32]) -> faiss.Index:
        """An empty index, fit for so many vectors like these."""
        count, dimension = vectors.shape
        flat = faiss.IndexFlatL2(dimension)
        if count <= EXACT_FACES:
            return faiss.IndexIDMap(flat)
        self._trained_for = count
        cells = math.ceil(count / _FACES_A_CELL)
        index = faiss.IndexIVFFlat(flat, dimension, cells)
        index.nprobe = max(_LEAST_SEARCHED, math.ceil(cells * _SEARCHED_SHARE))
        index.cp.niter = _ITERATIONS
        index.cp.max_points_per_centroid = _SAMPLES_A_CELL
        index.train(vectors)
        return index
