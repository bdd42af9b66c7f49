"""Numbers in texts, as values that can be compared: "1,200", "1200", "twelve hundred" and "一千二百" are one number."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENFOLD = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_UNITS = {word: value for value, word in enumerate(_SMALL)} | {
    word: 10 * ten for ten, word in enumerate(_TENFOLD, start=2)
}
_SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_DIGITS = {character: value for value, character in enumerate("零一二三四五六七八九")} | {"\u3007": 0, "两": 2}
_TENS = {"十": 10, "百": 100, "千": 1000}
_MYRIADS = {"万": 10**4, "亿": 10**8}
# They stand for a number and for other things too: "one of them", "一个".
_VAGUE = {"one", "zero", "hundred", "thousand", "million", "billion", "trillion", *_DIGITS, *_TENS, *_MYRIADS} - {"两"}

_WORD = "|".join([*_UNITS, *_SCALES])
_ENGLISH = rf"\b(?:{_WORD})(?:(?:[\s-]+|\s+and\s+)(?:{_WORD}))*\b"
_CHINESE = rf"[{''.join([*_DIGITS, *_TENS, *_MYRIADS])}]+"
_ARABIC = r"\d+(?:[,\uff0c]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_SCALE = rf"(?:\s*(?:{'|'.join(_SCALES)})\b|\s?[{''.join(_MYRIADS)}]+)?"
_FIGURE = re.compile(
    rf"(?P<arabic>{_ARABIC})(?P<scale>{_SCALE})|(?P<english>{_ENGLISH})|(?P<chinese>{_CHINESE})", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Figure:
    """A number in a text, in code points. readings: the values that it may mean."""

    begin: int
    end: int
    readings: frozenset[float]


def figures(text: str) -> list[Figure]:
    """The numbers of a text in their order."""
    return [Figure(*match.span(), frozenset(_readings(match))) for match in _FIGURE.finditer(text)]


def unsupported(text: str, source: str) -> list[Figure]:
    """The numbers of a text that its source does not have; words that seldom mean a number, as "one", do not count."""
    known = {reading for figure in figures(source) for reading in figure.readings}
    return [
        figure
        for figure in figures(text)
        if not figure.readings & known and text[figure.begin : figure.end].lower() not in _VAGUE
    ]


def _readings(match: re.Match[str]) -> set[float]:
    if match["english"]:
        return {_english(match["english"].lower())}
    if match["chinese"]:
        return {_chinese(match["chinese"])}
    value = float(re.sub("[,\uff0c]", "", match["arabic"]))
    scale = match["scale"].strip().lower()
    if not scale:
        return {value}
    factor = float(_SCALES.get(scale, 0))
    for character in scale if not factor else "":
        factor = (factor or 1.0) * _MYRIADS[character]
    return {value, round(value * factor, 6)}


def _english(words: str) -> float:
    """Of words: "twelve hundred and five" is 1205."""
    # Not whole numbers, here and below: a text of nothing but "billion" would make one of a million digits.
    total = group = 0.0
    for word in re.findall("[a-z]+", words):
        if word == "hundred":
            group = (group or 1.0) * 100
        elif word in _SCALES:
            total, group = total + (group or 1.0) * _SCALES[word], 0.0
        else:
            group += _UNITS.get(word, 0)
    return total + group


def _chinese(characters: str) -> float:
    """Of characters: "三百二十" is 320, "一九九八" is 1998, "三万五千" is 35000."""
    if all(character in _DIGITS for character in characters):
        return float("".join(str(_DIGITS[character]) for character in characters))
    total = section = digit = 0.0
    for character in characters:
        if character in _DIGITS:
            digit = _DIGITS[character]
        elif character in _TENS:
            section, digit = section + (digit or 1.0) * _TENS[character], 0.0
        else:
            total, section, digit = (total + section + digit or 1.0) * _MYRIADS[character], 0.0, 0.0
    return total + section + digit
