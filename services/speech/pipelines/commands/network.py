"""A grammar as the network of words that the model searches: states, and arcs between them with a word or none."""

from __future__ import annotations

import json
from collections.abc import Iterable

from services.mesh import errors
from services.speech.pipelines.commands.grammar import Gap, Grammar, Maybe, Parts
from services.speech.pipelines.commands.wording import Words

# The model takes up to three seconds to make it ready, the first time.
MAX_ARCS = 10_000

Arc = tuple[int, int, str]


def network(grammar: Grammar, *, at: str = "grammar") -> bytes:
    """JSON of {"final": state, "arcs": [[from, to, word], ...]}; state 0 is the first, the word "" is none.

    Raises InvalidArgument naming `at` when it has too many arcs.
    """
    return json.dumps(_Builder(grammar, at).build(), separators=(",", ":")).encode()


class _Builder:
    """What follows is shared: phrases that end alike have their end in common, slots that are followed by it too."""

    def __init__(self, grammar: Grammar, at: str) -> None:
        self._grammar, self._at = grammar, at
        self._arcs: list[Arc] = []
        self._states: dict[Parts, int] = {}
        self._count = 1
        self._fillings = {slot: _merged(values) for slot, values in grammar.values.items()}

    def build(self) -> dict[str, object]:
        final = self._states[()] = self._new()
        for parts in dict.fromkeys(parts for _, parts in self._grammar.phrases):
            self._add(0, self._state(parts), "")
        return {"final": final, "arcs": self._arcs}

    def _new(self) -> int:
        self._count += 1
        return self._count - 1

    def _add(self, begin: int, end: int, word: str) -> None:
        if len(self._arcs) >= MAX_ARCS:
            raise errors.InvalidArgument.field(
                self._at,
                f"takes at most {MAX_ARCS} words with each slot written out wherever it stands: give slots fewer "
                "values, or let fewer phrases name large slots",
            )
        self._arcs.append((begin, end, word))

    def _state(self, parts: Parts) -> int:
        """The state before these parts."""
        known = self._states.get(parts)
        if known is not None:
            return known
        state = self._states[parts] = self._new()
        part, rest = parts[0], parts[1:]
        if isinstance(part, Maybe):
            self._add(state, self._state(rest), "")
            self._add(state, self._state((*part.parts, *rest)), "")
        elif isinstance(part, Gap):
            fragment = self._fillings[part.slot]
            inner = {0: state, _END: self._state(rest)}
            for begin, end, word in fragment:
                for each in (begin, end):
                    if each not in inner:
                        inner[each] = self._new()
                self._add(inner[begin], inner[end], word)
        else:
            self._add(state, self._state(rest), part)
        return state


_END = -1


def _merged(sequences: Iterable[Words]) -> list[Arc]:
    """The least network of these sequences, from state 0 to _END: beginnings and ends that are alike are shared."""
    arcs: list[Arc] = []
    states: dict[frozenset[Words], int] = {frozenset([()]): _END}

    def state(rests: frozenset[Words]) -> int:
        if rests in states:
            return states[rests]
        here = states[rests] = len(states) - 1
        following: dict[str, set[Words]] = {}
        for rest in rests:
            if rest:
                following.setdefault(rest[0], set()).add(rest[1:])
        arcs.extend((here, state(frozenset(ends)), word) for word, ends in sorted(following.items()))
        if () in rests:
            arcs.append((here, _END, ""))
        return here

    state(frozenset(sequences))
    return arcs
