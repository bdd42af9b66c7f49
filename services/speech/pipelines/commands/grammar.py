"""What a caller may be told to do: commands as phrases with slots, checked and kept in a form that can be parsed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from services.mesh import errors
from services.speech.pipelines.commands import numbers
from services.speech.pipelines.commands.wording import Words, words_of

MAX_COMMANDS, MAX_COMMAND_PHRASES, MAX_PHRASES, MAX_PHRASE_BYTES = 100, 20, 500, 200
MAX_SLOTS, MAX_SLOT_VALUES, MAX_VALUES = 50, 500, 1000
MAX_VALUE_BYTES, MAX_SPOKEN, MAX_SPOKEN_BYTES = 64, 10, 100

_INTENT = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SLOT_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
_PARTS = re.compile(r"\{([^{}\[\]]*)\}|\[([^\[\]]*)\]|([^{}\[\]]+)|(.)", re.DOTALL)


@dataclass(frozen=True)
class Command:
    """What may be said, and how, as the caller wrote it."""

    intent: str
    phrases: tuple[str, ...]


@dataclass(frozen=True)
class Slot:
    """A gap and what fills it: values, each with the ways to say it (none: as written), or numbers from min to max."""

    name: str
    values: tuple[tuple[str, tuple[str, ...]], ...] | None = None
    numbers: tuple[int, int] | None = None


@dataclass(frozen=True)
class Gap:
    """A slot in a phrase."""

    slot: str


@dataclass(frozen=True)
class Maybe:
    """What may be left out of a phrase."""

    parts: tuple[str | Gap, ...]


Part: TypeAlias = str | Gap | Maybe
Parts: TypeAlias = tuple[Part, ...]


@dataclass(frozen=True)
class Filled:
    """A slot that was filled: its value, and which of the words fill it, end exclusive."""

    slot: str
    value: str
    begin: int
    end: int


@dataclass(frozen=True)
class Parse:
    """Which command some words are."""

    intent: str
    slots: tuple[Filled, ...]


@dataclass(frozen=True)
class Grammar:
    """Commands that were checked.

    phrases: intent and parts of each. values: of each slot, words -> value. words: word -> the field it is first in.
    """

    phrases: tuple[tuple[str, Parts], ...]
    values: dict[str, dict[Words, str]]
    words: dict[str, str] = field(repr=False)

    def parse(self, words: Sequence[str]) -> Parse | None:
        """The command that these words are, the first one when there are several."""
        for intent, parts in self.phrases:
            filled = self._match(parts, 0, tuple(words), 0, set())
            if filled is not None:
                return Parse(intent, filled)
        return None

    def _match(
        self, parts: Parts, index: int, words: Words, at: int, failed: set[tuple[Parts, int]]
    ) -> tuple[Filled, ...] | None:
        """What fills the slots when the parts are said by all words from `at` on; each dead end is tried once."""
        rest = parts[index:]
        if not rest:
            return () if at == len(words) else None
        if (rest, at) in failed:
            return None
        found: tuple[Filled, ...] | None = None
        part = rest[0]
        if isinstance(part, Maybe):
            found = self._match((*part.parts, *rest[1:]), 0, words, at, failed)
            found = self._match(rest, 1, words, at, failed) if found is None else found
        elif isinstance(part, Gap):
            found = self._fill(part, rest, words, at, failed)
        elif words[at : at + 1] == (part,):
            found = self._match(rest, 1, words, at + 1, failed)
        if found is None:
            failed.add((rest, at))
        return found

    def _fill(
        self, gap: Gap, rest: Parts, words: Words, at: int, failed: set[tuple[Parts, int]]
    ) -> tuple[Filled, ...] | None:
        """The longest value that leaves the rest possible."""
        for end in range(len(words), at, -1):
            value = self.values[gap.slot].get(words[at:end])
            following = None if value is None else self._match(rest, 1, words, end, failed)
            if value is not None and following is not None:
                return (Filled(gap.slot, value, at, end), *following)
        return None


def checked(commands: Sequence[Command], slots: Sequence[Slot], *, at: str = "grammar") -> Grammar:
    """The grammar. at: where it stands in the request. Raises InvalidArgument naming the field and the limit."""
    _count(f"{at}.commands", len(commands), 1, MAX_COMMANDS, "commands")
    _count(f"{at}.slots", len(slots), 0, MAX_SLOTS, "slots")
    words: dict[str, str] = {}
    values: dict[str, dict[Words, str]] = {}
    given = 0
    for index, slot in enumerate(slots):
        where = f"{at}.slots[{index}]"
        if not _SLOT_NAME.fullmatch(slot.name):
            raise errors.InvalidArgument.field(f"{where}.name", 'takes 1 to 64 letters, digits and "_"')
        if slot.name in values:
            raise errors.InvalidArgument.field(f"{where}.name", "is the name of an earlier slot too")
        given += len(slot.values or ())
        if given > MAX_VALUES:
            raise errors.InvalidArgument.field(f"{at}.slots", f"takes at most {MAX_VALUES} values in all")
        values[slot.name] = _fillings(slot, where, words)
    phrases: list[tuple[str, Parts]] = []
    for index, command in enumerate(commands):
        where = f"{at}.commands[{index}]"
        if not _INTENT.fullmatch(command.intent):
            raise errors.InvalidArgument.field(f"{where}.intent", 'takes 1 to 64 letters, digits, "_", "-" and "."')
        _count(f"{where}.phrases", len(command.phrases), 1, MAX_COMMAND_PHRASES, "phrases")
        if len(phrases) + len(command.phrases) > MAX_PHRASES:
            raise errors.InvalidArgument.field(f"{at}.commands", f"takes at most {MAX_PHRASES} phrases in all")
        for number, phrase in enumerate(command.phrases):
            parts = _parts(f"{where}.phrases[{number}]", phrase, values, words)
            phrases.append((command.intent, parts))
    return Grammar(tuple(phrases), values, words)


def _fillings(slot: Slot, where: str, words: dict[str, str]) -> dict[Words, str]:
    """What is said -> its value."""
    if slot.numbers is not None:
        found = _numbers(slot.numbers, f"{where}.numbers")
        for said in found:
            _note(said, f"{where}.numbers", words)
        return found
    if slot.values is None:
        raise errors.InvalidArgument.field(f"{where}.kind", "is required: either values or numbers")
    _count(f"{where}.values.values", len(slot.values), 1, MAX_SLOT_VALUES, "values")
    found = {}
    for index, (value, ways) in enumerate(slot.values):
        for name, said in _ways(f"{where}.values.values[{index}]", value, ways):
            found.setdefault(said, value)  # The first value that is said like this counts.
            _note(said, name, words)
    return found


def _numbers(bounds: tuple[int, int], where: str) -> dict[Words, str]:
    low, high = bounds
    for name, bound, least in (("min", low, 0), ("max", high, low)):
        if not least <= bound <= numbers.LARGEST:
            raise errors.InvalidArgument.field(f"{where}.{name}", f"takes {least} to {numbers.LARGEST}, got {bound}")
    return {said: str(number) for number in range(low, high + 1) for said in numbers.spoken(number)}


def _ways(place: str, value: str, ways: Sequence[str]) -> list[tuple[str, Words]]:
    """The ways to say a value, each with its field."""
    _measure(f"{place}.value", value, MAX_VALUE_BYTES)
    _count(f"{place}.spoken", len(ways), 0, MAX_SPOKEN, "ways to say it")
    for number, way in enumerate(ways):
        _measure(f"{place}.spoken[{number}]", way, MAX_SPOKEN_BYTES)
    fields = [(f"{place}.spoken[{number}]", way) for number, way in enumerate(ways)] or [(f"{place}.value", value)]
    found = [(name, words_of(name, text)) for name, text in fields]
    for name, said in found:
        if not said:
            raise errors.InvalidArgument.field(name, "holds no words")
    return found


def _parts(name: str, phrase: str, values: dict[str, dict[Words, str]], words: dict[str, str]) -> Parts:
    _measure(name, phrase, MAX_PHRASE_BYTES)
    found: list[Part] = []
    for gap, maybe, text, stray in _split(phrase):
        if stray:
            raise errors.InvalidArgument.field(
                name, "has a bracket without its other one, or brackets in brackets: write {slot} and [optional words]"
            )
        if maybe is not None:
            inner = _plain(name, maybe, values, words)
            found += [Maybe(inner)] if inner else []
        else:
            found += _plain(name, text if gap is None else f"{{{gap}}}", values, words)
    if all(isinstance(part, Maybe) for part in found):
        raise errors.InvalidArgument.field(name, "needs a word or a slot that may not be left out")
    return tuple(found)


def _split(phrase: str) -> list[tuple[str | None, str | None, str, str | None]]:
    """(slot, optional words, other words, stray bracket): one of them each."""
    return [(each[1], each[2], each[3] or "", each[4]) for each in _PARTS.finditer(phrase)]


def _plain(name: str, text: str, values: dict[str, dict[Words, str]], words: dict[str, str]) -> tuple[str | Gap, ...]:
    """Words and slots, nothing optional."""
    found: list[str | Gap] = []
    for gap, _, said, stray in _split(text):
        if stray:
            raise errors.InvalidArgument.field(name, "has a bracket without its other one: write {slot}")
        if gap is None:
            plain = words_of(name, said)
            _note(plain, name, words)
            found += plain
            continue
        slot = gap.strip()
        if slot not in values:
            known = ", ".join(values) or "none"
            raise errors.InvalidArgument.field(
                name, f"names the slot {slot[:64]!r}, which is not declared; there are: {known}"
            )
        found.append(Gap(slot))
    return tuple(found)


def _note(said: Words, name: str, words: dict[str, str]) -> None:
    for word in said:
        words.setdefault(word, name)


def _count(name: str, count: int, low: int, high: int, what: str) -> None:
    if not low <= count <= high:
        raise errors.InvalidArgument.field(name, f"takes {low} to {high} {what}, got {count}")


def _measure(name: str, text: str, most: int) -> None:
    if not 1 <= len(text.encode()) <= most:
        raise errors.InvalidArgument.field(name, f"takes 1 to {most} UTF-8 bytes, got {len(text.encode())}")
