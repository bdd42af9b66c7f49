"""How far two summaries are apart."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from services.mesh.drift.summaries import Centre, Distribution, Mix, Summary, summary_of
from services.mesh.ports import Array

RANDOM = np.random.default_rng(7)


def filled(kind: type[Summary], values: Array) -> Summary:
    """A summary of these values, which came in pieces."""
    made = kind()
    for piece in np.array_split(values, 7):
        made.add(piece)
    return made


def normal(mean: float, count: int = 2000) -> Array:
    return RANDOM.normal(mean, 1, count).astype(np.float32)


def test_the_same_distribution():
    """Two samples of one distribution are closer than what counts as any change at all."""
    assert filled(Distribution, normal(0)).shift(filled(Distribution, normal(0))) < 0.1


def test_another_distribution():
    """A shift of one standard deviation counts as much, of a tenth as nothing; and it grows with the shift."""
    reference = filled(Distribution, normal(0))
    shifts = [filled(Distribution, normal(mean)).shift(reference) for mean in (0.1, 0.5, 1.0)]
    assert shifts == sorted(shifts)
    assert shifts[0] < 0.1
    assert shifts[2] > 0.25


def test_the_index_is_what_its_formula_says():
    """The shift is the sum of (q - p) ln(q / p) over the deciles of the reference."""
    reference = filled(Distribution, np.arange(100, dtype=np.float32))
    window = filled(Distribution, np.concatenate([np.zeros(50), np.full(50, 99)]).astype(np.float32))
    low = 0.5 / 100  # half an item stands for an empty decile
    expected = 2 * (0.5 - 0.1) * math.log(0.5 / 0.1) + 8 * (low - 0.1) * math.log(low / 0.1)
    assert window.shift(reference) == pytest.approx(expected, rel=0.05)


def test_a_constant():
    """A number that is always the same has no shift while it is, and a large one when it is another."""
    reference = filled(Distribution, np.full(100, 5, np.float32))
    assert filled(Distribution, np.full(100, 5, np.float32)).shift(reference) == pytest.approx(0)
    for other in (4, 9):
        assert filled(Distribution, np.full(100, other, np.float32)).shift(reference) > 1


def test_what_is_no_number_does_not_count():
    """NaN and infinities are left out."""
    assert filled(Distribution, np.array([1, np.nan, np.inf, 2], np.float32)).count == 2


def names(**counts: int) -> Array:
    return np.array([name for name, count in counts.items() for _ in range(count)], object)


def test_a_mix_of_classes():
    """The same mix has no shift, another one has, and classes that nobody had seen count."""
    reference = filled(Mix, names(en=700, zh=300))
    assert filled(Mix, names(en=70, zh=30)).shift(reference) == pytest.approx(0)
    assert filled(Mix, names(en=30, zh=70)).shift(reference) == pytest.approx(2 * 0.4 * math.log(7 / 3))
    assert filled(Mix, names(en=70, zh=30, de=100)).shift(reference) > 1


def test_chance_among_many_classes():
    """Two samples of a thousand classes are closer than what counts as a change."""
    samples = [np.array([str(each) for each in RANDOM.integers(0, 1000, 1000)], object) for _ in range(2)]
    assert filled(Mix, samples[0]).shift(filled(Mix, samples[1])) < 0.15


def test_classes_are_bounded():
    """Classes beyond the bound count as one."""
    made = filled(Mix, np.array([str(number) for number in range(5000)], object))
    assert made.count == 5000
    assert len(made.to_json()["counts"]) <= 1025


def test_the_centre_of_vectors():
    """The shift is the distance of the means in units of the spread; chance makes little of it."""
    reference = filled(Centre, RANDOM.normal(0, 1, (1000, 100)).astype(np.float32))
    assert filled(Centre, RANDOM.normal(0, 1, (1000, 100)).astype(np.float32)).shift(reference) < 0.08
    moved = filled(Centre, RANDOM.normal(0.5, 1, (1000, 100)).astype(np.float32))
    assert moved.shift(reference) == pytest.approx(0.5, abs=0.05)


def test_vectors_of_another_length():
    """A model whose vectors have another length has changed."""
    assert filled(Centre, np.ones((9, 3), np.float32)).shift(filled(Centre, np.ones((9, 4), np.float32))) == 1


@pytest.mark.parametrize(
    ("kind", "values"),
    [(Distribution, normal(0)), (Mix, names(a=3, b=1)), (Centre, RANDOM.normal(0, 1, (50, 8)).astype(np.float32))],
)
def test_summaries_can_be_kept(kind: type[Summary], values: Array):
    """A summary that went through JSON is as far from others as it was."""
    made = filled(kind, values)
    again = kind.from_json(json.loads(json.dumps(made.to_json())))
    assert again.count == made.count
    other = filled(kind, values[: len(values) // 2])
    assert other.shift(again) == pytest.approx(other.shift(made))


def test_kinds():
    """Classes and vectors have summaries of their own, numbers the distribution."""
    assert [summary_of(of) for of in ("class", "first", "vector", "mean")] == [Mix, Mix, Centre, Distribution]
