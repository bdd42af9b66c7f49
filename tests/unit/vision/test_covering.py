"""Few boxes that cover what many do."""

import numpy as np
import pytest

from services.vision.pipelines.boxes import area
from services.vision.pipelines.covering import MOST, MOST_AREA, covering

RANDOM = np.random.default_rng(5)


def around(middles, sides):
    """Boxes of these sides around those points, cut at the picture's edges."""
    return np.clip(np.concatenate([middles - sides / 2, middles + sides / 2], axis=1), 0, 1).astype(np.float32)


def inside(boxes, others):
    """Whether each box lies inside one of the others."""
    low = (boxes[:, None, :2] >= others[None, :, :2]).all(axis=2)
    return (low & (boxes[:, None, 2:] <= others[None, :, 2:]).all(axis=2)).any(axis=1)


STEPS = np.linspace(0, 1, 100)
TILTED = around(np.stack([0.5 + (STEPS - 0.5) / 2, 0.5 - (STEPS - 0.5) / 2], axis=1), np.full((100, 2), 0.5))


@pytest.mark.parametrize(
    "boxes",
    [
        np.tile(np.float32([0, 0, 1, 1]), (100, 1)),
        TILTED,
        around(RANDOM.random((2200, 2)), np.full((2200, 2), 0.001)),
        around(RANDOM.random((2200, 2)), RANDOM.random((2200, 2)) / 3),
        around(RANDOM.random((2200, 2)), np.full((2200, 2), 0.3)),
        around(
            np.stack(np.meshgrid(np.arange(46), np.arange(46)), axis=2).reshape(-1, 2) / 46, np.full((2116, 2), 0.01)
        ),
    ],
    ids=["the whole picture", "tilted lines", "specks", "all sizes", "large ones", "a grid"],
)
def test_everything_stays_covered(boxes):
    """Each box lies inside one of the few, which are within the limits."""
    few = covering(boxes)
    assert inside(boxes, few).all()
    assert len(few) <= MOST
    assert area(few).sum() <= MOST_AREA


def test_what_is_little_enough_stays_as_it_is():
    """Boxes that overlap are not joined without need; one inside another goes, and so does the second of two alike."""
    boxes = np.float32([[0, 0, 0.5, 0.5], [0.1, 0.1, 0.6, 0.6], [0.1, 0.1, 0.6, 0.6], [0.2, 0.2, 0.3, 0.3]])
    np.testing.assert_array_equal(covering(boxes), boxes[:2])


def test_no_more_is_covered_than_need_be():
    """The boxes around tilted lines, one beside the other, leave the corners where no writing is."""
    few = covering(TILTED)
    assert len(few) > 1
    assert not inside(np.float32([[0, 0, 0.1, 0.1], [0.9, 0.9, 1, 1]]), few).any()
