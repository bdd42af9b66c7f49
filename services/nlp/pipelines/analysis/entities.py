"""What texts name: what has a pattern, and what a model of the text's language finds."""

from __future__ import annotations

import asyncio
import json
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.mesh.cache import AnswerCache
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard, Models
from services.mesh.ports import Inference
from services.nlp.pipelines.analysis import patterns
from services.nlp.pipelines.analysis.inputs import Text, by_model, choose
from services.nlp.pipelines.analysis.patterns import Found, without_overlaps
from services.nlp.pipelines.encode import batched

TASK = "entity-recognition"
# Models of entities read a text to its end, at some 20,000 characters a second: what one inference may hold them for.
_MAX_BATCH_CHARACTERS = 16_384
_CHINESE = re.compile("[\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uff00-\uff65]")
_LETTER = re.compile("[A-Za-z]")
# What a text must have to be given to the model of a language beside its own: Chinese, or a word that may be a name.
_WRITINGS = {"en": re.compile("[A-Z][a-z]"), "zh": re.compile("[\u4e00-\u9fff]")}
# What there is: those of models, and those that have patterns.
KINDS = (
    *("PERSON", "LOCATION", "ORGANIZATION", "DATE", "TIME", "MONEY", "QUANTITY", "EVENT", "PRODUCT", "OTHER"),
    *("EMAIL", "PHONE_NUMBER", "URL", "CARD_NUMBER"),
)


@dataclass(frozen=True, slots=True)
class TextEntities:
    """What one text names, in its order and without overlaps. model: "" when only patterns were looked for."""

    text: Text
    model: str
    entities: tuple[Found, ...]


class EntityAnalysis:
    """Finds entities with the models of task entity-recognition."""

    def __init__(self, inference: Inference, models: Models, cache: AnswerCache) -> None:
        self._inference = inference
        self._models = models
        self._cache = cache

    async def analyze(
        self, texts: Sequence[Text], deadline: Deadline, *, model: str = "", kinds: frozenset[str] = frozenset()
    ) -> list[TextEntities]:
        """What each text names, in order.

        model: "" for the default of each text's language; a language that no model knows gets patterns only. kinds:
        of KINDS, none meaning all. Raises what `choose`, `Models.pick` and the ports raise.
        """
        named = await self._by_models(texts, model, deadline)
        formed = await _by_patterns(texts)
        answers = []
        for text, (name, names), forms in zip(texts, named, formed, strict=True):
            found = [each for each in merged(forms, names) if not kinds or each.kind in kinds]
            answers.append(TextEntities(text, name, tuple(found)))
        return answers

    async def _by_models(self, texts: Sequence[Text], model: str, deadline: Deadline) -> list[tuple[str, list[Found]]]:
        """The name of each text's model, and all that is found in it."""
        readings = [(index, *reading) for index, text in enumerate(texts) for reading in self._readings(text, model)]

        async def work(card: ModelCard, group: list[Text]) -> list[list[Found]]:
            answers = await self._recognize([text.content for text in group], card, deadline)
            return [_names(answer, text.content) for text, answer in zip(group, answers, strict=True)]

        cards = [card for _, card, _ in readings]
        answers = await by_model([Text(content) for _, _, content in readings], cards, work)
        named: list[tuple[str, list[Found]]] = [("", [])] * len(texts)
        for (index, card, _), names in zip(readings, answers, strict=True):
            first, before = named[index]
            named[index] = (first or card.name, [*before, *names])
        return named

    def _readings(self, text: Text, model: str) -> list[tuple[ModelCard, str]]:
        """The models that a text is given to, that of its language first, and what each reads of it."""
        if model:
            return [(choose(self._models, TASK, model, text), text.content)]
        code = text.language_code or _by_writing(text.content)
        contents = {code: text.content}
        if code in _WRITINGS and all(writing.search(text.content) for writing in _WRITINGS.values()):
            # A Chinese model knows Latin words in passing; an English one is confused by Chinese in its sentence.
            contents |= {other: _only(other, text.content) for other in _WRITINGS if other != code or other == "en"}
        found = [(self._models.pick(TASK, "", language_code=code), code, content) for code, content in contents.items()]
        return [(card, content) for card, code, content in found if code and card.knows(code)]

    async def _recognize(self, texts: Sequence[str], card: ModelCard, deadline: Deadline) -> list[bytes]:
        async def infer(batch: Sequence[str]) -> list[bytes]:
            rows = np.array([[text.encode()] for text in batch], object)
            arrays = await self._inference.infer(card.name, {"text": rows}, ["entities"], deadline=deadline)
            return list(arrays["entities"].flat)

        async def compute(new: list[str]) -> list[bytes]:
            return await batched(new, card, infer, weigh=len, most=_MAX_BATCH_CHARACTERS)

        return await self._cache.answers((card.name, card.version, "entities"), texts, compute)


async def _by_patterns(texts: Sequence[Text]) -> list[list[Found]]:
    """One text after the other in a thread, so that a call that is given up stops at the next."""
    return [await asyncio.to_thread(patterns.find, text.content, text.language_code, text.tag) for text in texts]


def _by_writing(text: str) -> str:
    """Whose model to try where the language cannot be told, as of a name alone: "" when there are no letters."""
    if _CHINESE.search(text):
        return "zh"
    return "en" if _LETTER.search(text) else ""


def _only(language_code: str, text: str) -> str:
    """The text with blanks in place of what is written in the other way, so that offsets stay."""
    return (_CHINESE if language_code == "en" else _LETTER).sub(" ", text)


def merged(forms: Sequence[Found], names: Sequence[Found]) -> list[Found]:
    """What has a pattern (in order), and the names that do not overlap it; the longest of what overlaps.

    A name that extends what has a pattern, and is of the same kind, replaces it: "$5 an hour" for "$5".
    """
    begins = [form.begin for form in forms]

    def extends(name: Found) -> bool:
        place = bisect_left(begins, name.begin)
        return place < len(forms) and forms[place].kind == name.kind and forms[place].end <= name.end

    longer = [name for name in names if extends(name)]
    return without_overlaps([*forms, *longer], names)


def _names(answer: bytes, text: str) -> list[Found]:
    """What a model answered, see the catalog: kinds that we do not know are "OTHER"; score may be null.

    Pictures and white space at either end of a name, which models take for a part of it, are not.
    """
    found = []
    for each in json.loads(answer):
        begin, end = max(each["begin"], 0), min(each["end"], len(text))
        while begin < end and _is_picture(text[begin]):
            begin += 1
        while begin < end and _is_picture(text[end - 1]):
            end -= 1
        if begin < end:
            found.append(Found(begin, end, each["type"] if each["type"] in KINDS else "OTHER", each["score"]))
    return found


def _is_picture(character: str) -> bool:
    """An emoji, or what goes with one, or white space."""
    return character.isspace() or character in "\ufe0f\u200d" or unicodedata.category(character) in {"So", "Sk"}
