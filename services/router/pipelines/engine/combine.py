"""Several answers made one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.mesh import errors


@dataclass(frozen=True, slots=True)
class Answer:
    """What a member of an ensemble gave. score: of "best"."""

    value: Any
    weight: float
    score: float = 0.0


def combine(how: str, answers: Sequence[Answer]) -> object:
    """One value of at least one answer.

    how: "vote": the value with the greatest weight behind it, of equals the first. "mean": of numbers, or of lists of
    numbers of equal length, by weight. "best": the value with the highest score, of equals the one with more weight.
    Raises Internal when lists are not of equal length.
    """
    if how == "best":
        return max(answers, key=lambda answer: (answer.score, answer.weight)).value
    if how == "vote":
        # Lists and messages are values as well, which no dict takes as keys.
        return max(answers, key=lambda one: sum(each.weight for each in answers if each.value == one.value)).value
    total = sum(answer.weight for answer in answers)
    if not isinstance(answers[0].value, list):
        return sum(answer.value * answer.weight for answer in answers) / total
    if len({len(answer.value) for answer in answers}) > 1:
        raise errors.Internal("the members of the ensemble gave lists of different lengths", reason="LISTS_DIFFER")
    columns = zip(*(answer.value for answer in answers), strict=True)
    return [
        sum(value * answer.weight for value, answer in zip(column, answers, strict=True)) / total for column in columns
    ]
