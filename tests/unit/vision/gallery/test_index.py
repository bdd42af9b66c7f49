"""The index alone: exact and by cells."""

from __future__ import annotations

import numpy as np
import pytest

from services.vision.pipelines.faces.gallery import index
from services.vision.pipelines.faces.gallery.index import FaceIndex

COUNT, DIMENSION = 8000, 32


@pytest.fixture(params=["exact", "cells"])
def filled(request, monkeypatch):
    """An index, and the vectors in it; a vector's number is its place."""
    monkeypatch.setattr(index, "EXACT_FACES", COUNT if request.param == "exact" else 100)
    vectors = np.random.default_rng(3).normal(size=(COUNT, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    made = FaceIndex()
    made.apply(0, 5, np.arange(COUNT), vectors, ())
    return made, vectors


def test_the_nearest_is_found(filled):
    """Of pictures of known persons 98 in 100 and more find theirs first, at the distance that it has."""
    made, vectors = filled
    noise = np.random.default_rng(4).normal(size=(200, DIMENSION)).astype(np.float32) * 0.05
    right = 0
    for place, look in enumerate(vectors[:200] + noise):
        exact = np.linalg.norm(vectors - look, axis=1)
        numbers, distances = made.within(look, 1.0)
        np.testing.assert_allclose(distances, exact[numbers], atol=1e-4)
        assert list(distances) == sorted(distances)
        right += len(numbers) > 0 and numbers[0] == exact.argmin() == place
    assert right >= 196


def test_the_largest_distance_counts_too(filled):
    """What is as far as allowed is found, what is farther is not."""
    made, vectors = filled
    distance = float(np.linalg.norm(vectors[1] - vectors[1] * 1.5))
    assert 1 in made.within(vectors[1] * 1.5, distance)[0]
    assert 1 not in made.within(vectors[1] * 1.5, distance * 0.99)[0]


def test_what_is_removed_is_gone(filled):
    """Removed vectors are found no more; numbers that it does not have are no error."""
    made, vectors = filled
    made.apply(5, 6, np.empty(0, np.int64), np.empty((0, 0), np.float32), [7, COUNT + 1])
    assert 7 not in made.within(vectors[7], 2)[0]
    assert (len(made), made.change) == (COUNT - 1, 6)


def test_a_change_is_applied_once(filled):
    """What was read for another state of the index is dropped."""
    made, vectors = filled
    made.apply(4, 9, np.array([COUNT]), vectors[:1], ())
    assert (len(made), made.change) == (COUNT, 5)


def test_a_gallery_that_doubles_is_built_anew(filled):
    """Cells are made for a number of faces; an exact index is left when comparing with all would take too long."""
    made, _ = filled
    assert made.outgrown(COUNT + 1)
    assert not made.outgrown(0)


def test_nothing_is_near_in_an_empty_index():
    """Without vectors there is nothing to find."""
    numbers, distances = FaceIndex().within(np.ones(DIMENSION, np.float32), 2)
    assert (len(numbers), len(distances)) == (0, 0)
