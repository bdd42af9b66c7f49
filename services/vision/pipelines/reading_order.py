"""The order in which lines of writing are read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rectangles = NDArray[np.float64]

# A page has columns where a gap down the page has at least so many lines on either side, of which this share are so
# many times as wide as they are high (a list of names and prices is read row by row), and only so few lines, as a
# share, cross it.
_COLUMN_LINES = 3
_WIDE = 0.5
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
    return _ordered(lines, sorted(range(len(lines)), key=lambda index: float(lines[index, 1] + lines[index, 3])))


def _ordered(lines: Rectangles, chosen: list[int]) -> list[int]:
    """The chosen ones, which come from the top. It calls itself once for each column, of _COLUMN_LINES at least."""
    gap = _gap(lines[chosen])
    if gap is None:
        return [index for row in _rows(lines, chosen) for index in row]
    left: list[int] = []
    right: list[int] = []
    ordered: list[int] = []
    for index in chosen:
        if lines[index, 2] <= gap:
            left.append(index)
        elif lines[index, 0] >= gap:
            right.append(index)
        else:
            ordered += [*_ordered(lines, left), *_ordered(lines, right), index]
            left, right = [], []
    return [*ordered, *_ordered(lines, left), *_ordered(lines, right)]


def _gap(lines: Rectangles) -> float | None:
    """Where the page is best cut into two columns, if anywhere: of the gaps that the fewest lines cross the first."""
    if len(lines) < 2 * _COLUMN_LINES:
        return None
    by_end, from_start = lines[lines[:, 2].argsort()], lines[lines[:, 0].argsort()[::-1]]
    # Where a column begins there is a gap before it.
    edges = np.unique(lines[:, 0])
    left = np.searchsorted(by_end[:, 2], edges, side="right")
    right = len(lines) - np.searchsorted(from_start[::-1, 0], edges, side="left")
    crossing = len(lines) - left - right
    fits = (crossing <= _CROSSING * len(lines)) & (left >= _COLUMN_LINES) & (right >= _COLUMN_LINES)
    edges, left, right, crossing = edges[fits], left[fits], right[fits], crossing[fits]
    one, other = _columns(by_end)[left - 1], _columns(from_start)[right - 1]
    columns = (one[:, 2] >= _WIDE) & (other[:, 2] >= _WIDE) & _share_in_height(one, other)
    return float(edges[columns][crossing[columns].argmin()]) if columns.any() else None


def _columns(lines: Rectangles) -> Rectangles:
    """Of the first line, the first two and so on: y_min, y_max, and the share of those that are wide. float64[N, 3]."""
    sides = lines[:, 2:] - lines[:, :2]
    wide = sides[:, 0] >= _COLUMN_PROPORTION * np.maximum(sides[:, 1], 1e-9)
    share = np.cumsum(wide) / np.arange(1, len(lines) + 1)
    return np.stack([np.minimum.accumulate(lines[:, 1]), np.maximum.accumulate(lines[:, 3]), share], axis=1)


def _rows(lines: Rectangles, chosen: Sequence[int]) -> list[list[int]]:
    """Lines side by side, from left to right; rows downwards. chosen: from the top."""
    rows: list[list[int]] = []
    for index in chosen:
        if rows and _share_in_height(lines[rows[-1][-1], 1::2], lines[index, 1::2]):
            rows[-1].append(index)
        else:
            rows.append([index])
    return [sorted(row, key=lambda index: float(lines[index, 0])) for row in rows]


def _share_in_height(one: Rectangles, other: Rectangles) -> NDArray[np.bool_]:
    """Whether what stretches from y_min to y_max is side by side, not one below the other. float64[..., 2 or more]."""
    common = np.minimum(one[..., 1], other[..., 1]) - np.maximum(one[..., 0], other[..., 0])
    smaller = np.minimum(one[..., 1] - one[..., 0], other[..., 1] - other[..., 0])
    return np.asarray(common > _SIDE_BY_SIDE * smaller)
