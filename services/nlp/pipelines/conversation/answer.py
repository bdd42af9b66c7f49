"""Answers to questions, from given passages."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard, Models
from services.nlp.pipelines.conversation.evidence import Passage
from services.nlp.pipelines.conversation.grounding import Grounded, Grounding
from services.nlp.pipelines.generate import TASK, Message, Sampling
from services.nlp.pipelines.languages import Languages

# An answer of a few words.
_SAMPLING = Sampling(max_tokens=80)


class Answers:
    """Answers questions."""

    def __init__(self, grounding: Grounding, languages: Languages, models: Models) -> None:
        self._grounding = grounding
        self._languages = languages
        self._models = models

    def card(self, model: str, language_code: str) -> ModelCard:
        """The model that answers. Raises what Models.pick and ModelCard.require_language raise."""
        card = self._models.pick(TASK, model, language_code=language_code)
        card.require_language(language_code)
        return card

    async def answer(
        self, question: str, passages: Sequence[Passage], card: ModelCard, language_code: str, deadline: Deadline
    ) -> Grounded:
        """The answer, empty when the passages have none. language_code: "" for that of the question."""
        (code,) = await self._languages.of([question], language_code, deadline)
        found = self._grounding.stream(
            [Message("user", question)], passages, card, _SAMPLING, deadline, code=code, brief=True
        )
        async with aclosing(found) as events:
            async for event in events:
                if isinstance(event, Grounded):
                    return event
        raise errors.Internal("an answer ended without its result")
