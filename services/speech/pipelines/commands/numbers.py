"""Whole numbers as one says them in English."""

from __future__ import annotations

LARGEST = 999
_ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
_BELOW_TWENTY = _ONES + _TEENS
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")

Words = tuple[str, ...]


def spoken(number: int) -> list[Words]:
    """The ways to say 0 to 999, the most usual first: 105 is "one hundred and five", "a hundred five" and so on."""
    hundreds, rest = divmod(number, 100)
    if not hundreds:
        return [_below_hundred(rest)]
    heads: list[Words] = [
        (each, "hundred") for each in ((_ONES[hundreds], "a") if hundreds == 1 else (_ONES[hundreds],))
    ]
    if not rest:
        return heads
    return [(*head, *joint, *_below_hundred(rest)) for head in heads for joint in (("and",), ())]


def _below_hundred(number: int) -> Words:
    if number < len(_BELOW_TWENTY):
        return (_BELOW_TWENTY[number],)
    tens, ones = divmod(number, 10)
    return (_TENS[tens], _BELOW_TWENTY[ones]) if ones else (_TENS[tens],)
