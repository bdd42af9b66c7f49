"""The order in which lines of writing are read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rectangles = NDArray[np.float64]

# A page has columns where a gap down the page has at least so many lines on either side, which are so many times as
# wide as they are high (a list of names and prices is read row by row), and only so few lines, as a share, cross it.
_COLUMN_LINES = 3
_COLUMN_PROPORTION = 5
_CROSSING = 0.2
# What is side by side overlaps in height by this share of the less high.
_SIDE_BY_SIDE = 0.5


def turned_upright(corners: Rectangles) -> Rectangles:
    """Lines as they lie when the page is turned so that most of the writing on it is upright.

    corners: float64[N, 4, 2], x and y in pixels, in the order in which each line is read (top left, top right, bottom
    right, bottom left) -> the rectangles around them: float64[N, 4] as x_min, y_min, x_max, y_max.
    """
    along = corners[:, 1] - corners[:, 0] + corners[:, 2] - corners[:, 3]
    quarters = np.rint(np.arctan2(along[:, 1], along[:, 0]) / (np.pi / 2)).astype(int) % 4
    most = np.bincount(quarters, weights=np.hypot(along[:, 0], along[:, 1])).argmax()
    across, down = along[quarters == most].sum(axis=0)
    length = max(float(np.hypot(across, down)), 1e-9)
    cosine, sine = across / length, down / length
    turned = corners @ np.array([[cosine, -sine], [sine, cosine]])
    return np.concatenate([turned.min(axis=1), turned.max(axis=1)], axis=1)


def reading_order(lines: Rectangles) -> list[int]:
    """The indices of lines, float64[N, 4] as x_min, y_min, x_max, y_max: columns from left to right, rows downwards.

    A page is cut at the gap between two columns, and its columns again; a line across the gap, for example a heading,
    stands between what is above and what is below it.
    """
    return _ordered(lines, list(range(len(lines))))


def _ordered(lines: Rectangles, chosen: list[int]) -> list[int]:
    gap = _gap(lines[chosen])
    if gap is None:
        return [index for row in _rows(lines, chosen) for index in row]
    left: list[int] = []
    right: list[int] = []
    ordered: list[int] = []
    for index in sorted(chosen, key=lambda index: _middle(lines[index])):
        if lines[index, 2] <= gap:
            left.append(index)
        elif lines[index, 0] >= gap:
            right.append(index)
        else:
            ordered += [*_ordered(lines, left), *_ordered(lines, right), index]
            left, right = [], []
    return [*ordered, *_ordered(lines, left), *_ordered(lines, right)]


def _gap(lines: Rectangles) -> float | None:
    """Where the page is best cut into two columns, if anywhere."""
    best: tuple[int, float] | None = None
    # Where a column begins there is a gap before it.
    for edge in np.unique(lines[:, 0]):
        left, right = lines[lines[:, 2] <= edge], lines[lines[:, 0] >= edge]
        crossing = len(lines) - len(left) - len(right)
        if crossing <= _CROSSING * len(lines) and _is_column(left) and _is_column(right) and _level(left, right):
            best = min(best or (crossing, float(edge)), (crossing, float(edge)))
    return best[1] if best else None


def _is_column(lines: Rectangles) -> bool:
    if len(lines) < _COLUMN_LINES:
        return False
    sides = lines[:, 2:] - lines[:, :2]
    return bool(np.median(sides[:, 0] / np.maximum(sides[:, 1], 1e-9)) >= _COLUMN_PROPORTION)


def _level(left: Rectangles, right: Rectangles) -> bool:
    """Whether two columns stand side by side, rather than one below the other."""
    return _share_in_height(
        np.array([left[:, 1].min(), left[:, 3].max()]), np.array([right[:, 1].min(), right[:, 3].max()])
    )


def _rows(lines: Rectangles, chosen: Sequence[int]) -> list[list[int]]:
    """Lines side by side, from left to right; rows downwards."""
    rows: list[list[int]] = []
    for index in sorted(chosen, key=lambda index: _middle(lines[index])):
        if rows and _share_in_height(lines[rows[-1][-1]][[1, 3]], lines[index][[1, 3]]):
            rows[-1].append(index)
        else:
            rows.append([index])
    return [sorted(row, key=lambda index: float(lines[index, 0])) for row in rows]


def _share_in_height(one: Rectangles, other: Rectangles) -> bool:
    common = min(one[1], other[1]) - max(one[0], other[0])
    return bool(common > _SIDE_BY_SIDE * min(one[1] - one[0], other[1] - other[0]))


def _middle(line: Rectangles) -> float:
    return float(line[1] + line[3])
