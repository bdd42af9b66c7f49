"""The texts of a request: checked, their languages known, and sorted by the models that know those."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard, Models
from services.mesh.request import language_tag
from services.mesh.together import together
from services.nlp.pipelines.languages import Languages
from services.nlp.pipelines.texts import MAX_TEXTS, require_count, text_fault

T = TypeVar("T")

# Names and single words get guesses of .2 to .3 ("Angela Merkel": German), sentences of two words more than .6.
_LEAST_CONFIDENCE = 0.4


@dataclass(frozen=True, slots=True)
class Text:
    """A text of 1 to 8192 bytes.

    language_code: the primary subtag, given or detected, "" when it cannot be told. tag: what the caller said, or "".
    """

    content: str
    language_code: str = ""
    tag: str = ""


def checked(contents: Sequence[str], tag: str = "") -> list[Text | errors.MeshError]:
    """Each text, or what is wrong with it; languages are not looked at. Raises InvalidArgument for their number."""
    require_count("contents", contents, high=MAX_TEXTS)
    return [
        text_fault(f"contents[{index}]", content) or Text(content, tag=tag) for index, content in enumerate(contents)
    ]


async def read(
    contents: Sequence[str], tag: str, languages: Languages, deadline: Deadline
) -> list[Text | errors.MeshError]:
    """As `checked`, with each text's language: `tag` if there is one, else detected."""
    texts = checked(contents, language_tag("language_code", tag))

    async def with_language(good: Sequence[Text]) -> list[Text]:
        codes = await languages.of([text.content for text in good], tag, deadline, least_confidence=_LEAST_CONFIDENCE)
        return [Text(text.content, code, tag) for text, code in zip(good, codes, strict=True)]

    return await of_good(texts, with_language)


async def of_good(
    texts: Sequence[Text | errors.MeshError], work: Callable[[list[Text]], Awaitable[Sequence[T]]]
) -> list[T | errors.MeshError]:
    """What `work` makes of the texts that are right, and the errors of the others, in order."""
    good = [text for text in texts if isinstance(text, Text)]
    answers = iter(await work(good) if good else ())
    return [next(answers) if isinstance(text, Text) else text for text in texts]


def choose(models: Models, task: str, name: str, text: Text) -> ModelCard:
    """The model of that name, else the task's default for the text's language, known or not.

    A detected language may be wrong, so a model that does not know it answers all the same; one that the caller gave is
    not. Raises InvalidArgument for the latter, and what Models.pick raises.
    """
    card = models.pick(task, name, language_code=text.language_code)
    if text.tag:
        card.require_language(text.tag)
    return card


async def by_model(
    texts: Sequence[Text], cards: Sequence[ModelCard], work: Callable[[ModelCard, list[Text]], Awaitable[Sequence[T]]]
) -> list[T]:
    """What `work` makes of the texts of each model, all models at once; answers in the order of the texts."""
    groups: dict[str, list[int]] = {}
    for index, card in enumerate(cards):
        groups.setdefault(card.name, []).append(index)
    answered = await together(work(cards[group[0]], [texts[index] for index in group]) for group in groups.values())
    answers = {
        index: answer
        for group, done in zip(groups.values(), answered, strict=True)
        for index, answer in zip(group, done, strict=True)
    }
    return [answers[index] for index in range(len(texts))]
