"""What a summary says and its source does not: numbers and names."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.nlp.pipelines.analysis.entities import EntityAnalysis
from services.nlp.pipelines.analysis.inputs import Text
from services.nlp.pipelines.figures import unsupported
from services.nlp.pipelines.words import is_cjk

_NAMES = frozenset({"PERSON", "LOCATION", "ORGANIZATION"})
# Where no model knows the names: words in capitals within a sentence. German writes all nouns so.
_CAPITALS = re.compile(r"(?<=[a-z,;] )(?:[A-Z][\w'-]+)(?: [A-Z][\w'-]+)*")
_UNTELLING = {"de"}
_LETTERS = re.compile(r"[^\W\d_]+")
# Words of names that are left out or put differently without a change of meaning.
_LOOSE = {"the", "of", "and", "mr", "mrs", "ms", "dr", "sir", "inc", "ltd", "city", "s"}


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim that the source does not have, in code points of the summary."""

    kind: Literal["number", "name"]
    begin: int
    end: int


class ClaimCheck:
    """Compares summaries with their sources."""

    def __init__(self, entities: EntityAnalysis) -> None:
        self._entities = entities

    async def unsupported(self, summary: str, source: str, language_code: str, deadline: Deadline) -> list[Claim]:
        """The numbers and names of a summary that its source does not have, in order; names as a model finds them."""
        spans = await self._names(summary, language_code, deadline)
        # Beside the event loop: half a second for 128 KiB of nothing but numbers.
        return await asyncio.to_thread(_compared, summary, spans, source)

    async def _names(self, summary: str, language_code: str, deadline: Deadline) -> list[tuple[int, int]]:
        try:
            (answer,) = await self._entities.analyze([Text(summary, language_code)], deadline, kinds=_NAMES)
        except errors.Unimplemented:
            answer = None
        if answer is not None and answer.model:
            return [(each.begin, each.end) for each in answer.entities]
        found = () if language_code in _UNTELLING else _CAPITALS.finditer(summary)
        return [match.span() for match in found]


def _compared(summary: str, names: Sequence[tuple[int, int]], source: str) -> list[Claim]:
    known = {word.lower() for word in _LETTERS.findall(source)}
    claims = [Claim("number", each.begin, each.end) for each in unsupported(summary, source)]
    claims += [Claim("name", *span) for span in names if not _has(source, known, summary[slice(*span)])]
    return sorted(claims, key=lambda claim: claim.begin)


def _has(source: str, known: set[str], name: str) -> bool:
    """Whether the source has the name, or all its words somewhere ("Anna Berg" of "Anna and Tom Berg")."""
    if name.lower() in source.lower():
        return True
    words = {word.lower() for word in _LETTERS.findall(name)} - _LOOSE
    return bool(words) and not is_cjk(name) and words <= known
