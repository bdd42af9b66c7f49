"""The shapes of a picture, each a piece of SVG that knows its size. Lengths are pixels."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_SIZES = {"title": 20, "name": 14, "about": 12, "dim": 11.5}
_BOLD = ("title", "name")
_LETTERS = 40
_LINES = 3
_PADDING = 12.0
_HEAD = 6.0
_NARROW = frozenset(" .,:;!|'()[]{}/\\\"ijltfrI1-")
_BROAD = frozenset("mwMWGOQ@%&≋…")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text. style: "title", "name", "about" or "dim"."""

    text: str
    style: str

    @property
    def width(self) -> float:
        """Its width, estimated: the font is that of whoever looks at it."""
        letters = sum(_letter(letter) for letter in self.text)
        return letters * _SIZES[self.style] * (1.07 if self.style in _BOLD else 1.0)

    @property
    def height(self) -> float:
        """Its height with the space below it."""
        return _SIZES[self.style] * 1.45


@dataclass(frozen=True, slots=True)
class Figure:
    """A piece of a picture, drawn from its upper left corner. Arrows lead to the middle of its upper and lower edge."""

    width: float
    height: float
    shapes: str

    def at(self, left: float, top: float) -> str:
        """The piece where it belongs."""
        return f'<g transform="translate({left:g} {top:g})">{self.shapes}</g>'


def wrapped(line: str, style: str, letters: int = _LETTERS) -> list[Line]:
    """A text in a few lines; what does not fit is left out."""
    lines = textwrap.wrap(line, letters, max_lines=_LINES, placeholder=" …")
    return [Line(each, style) for each in lines]


def text(lines: Sequence[Line], *, middle: bool = False) -> Figure:
    """Lines of text, at the left or around the middle."""
    width = max(line.width for line in lines)
    top, shapes = 0.0, []
    for line in lines:
        place = f'x="{width / 2:g}" text-anchor="middle"' if middle else 'x="0"'
        weight = ' font-weight="600"' if line.style in _BOLD else ""
        dim = ' class="dim"' if line.style == "dim" else ""
        shapes.append(
            f'<text {place} y="{top + _SIZES[line.style]:g}" font-size="{_SIZES[line.style]:g}"{weight}{dim}>'
            f"{escape(line.text)}</text>"
        )
        top += line.height
    return Figure(width, top, "".join(shapes))


def box(lines: Sequence[Line], *, optional: bool = False) -> Figure:
    """Lines of text in a box."""
    return _around(text(lines, middle=True), "box optional" if optional else "box", 6)


def pill(lines: Sequence[Line], *, live: bool = False) -> Figure:
    """Lines of text in a box with round ends. live: a stream."""
    return _around(text(lines, middle=True), "pill live" if live else "pill", 16)


def frame(lines: Sequence[Line], inside: Figure, *, optional: bool = False) -> Figure:
    """A figure in a frame, below lines of text."""
    within = column([text(lines, middle=True), inside], _PADDING / 2)
    return _around(within, "frame optional" if optional else "frame", 10)


def row(figures: Sequence[Figure], gap: float) -> Figure:
    """Figures side by side, their upper edges on one line."""
    left, shapes = 0.0, []
    for figure in figures:
        shapes.append(figure.at(left, 0))
        left += figure.width + gap
    return Figure(left - gap, max(figure.height for figure in figures), "\n".join(shapes))


def column(figures: Sequence[Figure], gap: float, *, arrows: bool = False) -> Figure:
    """Figures one below the other, their middles on one line."""
    width = max(figure.width for figure in figures)
    top, shapes = 0.0, []
    for index, figure in enumerate(figures):
        shapes.append(figure.at((width - figure.width) / 2, top))
        top += figure.height
        if arrows and index < len(figures) - 1:
            shapes.append(_arrow(f"M{width / 2:g} {top:g}V{top + gap - _HEAD:g}", width / 2, top + gap))
        top += gap
    return Figure(width, top - gap, "\n".join(shapes))


def curve(left: float, top: float, to_left: float, to_top: float) -> str:
    """An arrow of a stream from one place down to another."""
    end, half = to_top - _HEAD, (to_top - top) / 2
    path = f"M{left:g} {top:g}C{left:g} {top + half:g} {to_left:g} {end - half:g} {to_left:g} {end:g}"
    return _arrow(path, to_left, to_top, live=" live")


def _arrow(path: str, left: float, top: float, *, live: str = "") -> str:
    """A line whose head points down to a place."""
    head = f"M{left:g} {top:g}l-4 -{_HEAD + 1:g}h8z"
    return f'<path class="arrow{live}" d="{path}"/><path class="head{live}" d="{head}"/>'


def _around(inside: Figure, style: str, radius: float) -> Figure:
    width, height = inside.width + 2 * _PADDING, inside.height + 1.5 * _PADDING
    edge = f'<rect class="{style}" width="{width:g}" height="{height:g}" rx="{radius:g}"/>'
    return Figure(width, height, edge + inside.at(_PADDING, _PADDING * 0.75))


def _letter(letter: str) -> float:
    """The width of a letter, as a share of the font's size."""
    if letter in _NARROW:
        return 0.36
    if letter in _BROAD or unicodedata.east_asian_width(letter) in "WF":
        return 1.0
    return 0.68 if letter.isupper() else 0.58
