"""The next message of a conversation: a canned one, one from passages, or a free one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard, Models
from services.nlp.pipelines.conversation.canned import Canned, CannedMatch, CannedReplies
from services.nlp.pipelines.conversation.evidence import Passage
from services.nlp.pipelines.conversation.grounding import Cited, Grounding
from services.nlp.pipelines.conversation.prompts import not_in_passages
from services.nlp.pipelines.generate import TASK, Generator, Message, Sampling, Usage
from services.nlp.pipelines.languages import Languages


@dataclass(frozen=True, slots=True)
class ReplyRequest:
    """What is asked; checked before. messages: the last by the user. min_canned_score: 0 for the measured one."""

    messages: tuple[Message, ...]
    sampling: Sampling
    passages: tuple[Passage, ...] = ()
    canned: tuple[Canned, ...] = ()
    canned_only: bool = False
    min_canned_score: float = 0.0
    model: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply. grounding: "" when there were no passages. cited: the strongest first."""

    text: str
    model: str
    finish_reason: str = ""
    usage: Usage = field(default_factory=Usage)
    grounding: Literal["", "supported", "not in passages"] = ""
    cited: tuple[Cited, ...] = ()
    canned: CannedMatch | None = None


class Replies:
    """Writes replies."""

    def __init__(
        self,
        generator: Generator,
        grounding: Grounding,
        canned: CannedReplies,
        languages: Languages,
        models: Models,
    ) -> None:
        self._generator = generator
        self._grounding = grounding
        self._canned = canned
        self._languages = languages
        self._models = models

    async def reply(self, request: ReplyRequest, deadline: Deadline) -> Reply:
        """The reply as a whole; see `stream`."""
        async with aclosing(self.stream(request, deadline)) as events:
            async for event in events:
                if isinstance(event, Reply):
                    return event
        raise errors.Internal("a reply ended without its result")

    async def stream(self, request: ReplyRequest, deadline: Deadline) -> AsyncGenerator[str | Reply, None]:
        """The reply in pieces, which joined are its text, and then itself.

        Closing the generator stops the model. Raises what Models.pick and the ports raise.
        """
        # The model's name is checked whatever is used in the end.
        card = None if request.canned_only else self._models.pick(TASK, request.model)
        match, code = None, ""
        if request.canned or request.passages:
            question = request.messages[-1].content
            (code,) = await self._languages.of([question], "", deadline)
            if request.canned:
                match = await self._canned.find(question, request.canned, request.min_canned_score, code, deadline)
        if card is None or match is not None:
            events = _canned(request, match)
        elif request.passages:
            events = self._grounded(request, card, code, deadline)
        else:
            events = self._free(request, card, deadline)
        try:
            async with aclosing(events) as each:
                async for event in each:
                    yield event
        except errors.InvalidArgument as refused:
            if refused.violations:
                raise
            # What a model refuses is the grammar of the schema, or else a conversation longer than its context.
            field = "parameters.response_json_schema" if "guided_decoding" in refused.message else "messages"
            raise errors.InvalidArgument.field(field, refused.message) from None

    async def _grounded(
        self, request: ReplyRequest, card: ModelCard, code: str, deadline: Deadline
    ) -> AsyncGenerator[str | Reply, None]:
        answers = self._grounding.stream(
            request.messages, request.passages, card, request.sampling, deadline, code=code
        )
        async with aclosing(answers) as events:
            async for event in events:
                if isinstance(event, str):
                    yield event
                elif event.cited:
                    yield Reply(event.text, card.name, event.finish_reason, event.usage, "supported", event.cited)
                else:
                    yield not_in_passages(code)
                    yield Reply(not_in_passages(code), card.name, "stop", event.usage, "not in passages")

    async def _free(
        self, request: ReplyRequest, card: ModelCard, deadline: Deadline
    ) -> AsyncGenerator[str | Reply, None]:
        texts: list[str] = []
        reason, usage = "", Usage()
        async with aclosing(self._generator.stream(request.messages, card, request.sampling, deadline)) as pieces:
            async for piece in pieces:
                texts.append(piece.text)
                reason, usage = piece.finish_reason, piece.usage
                if piece.text:
                    yield piece.text
        yield Reply("".join(texts), card.name, reason, usage)


async def _canned(request: ReplyRequest, match: CannedMatch | None) -> AsyncGenerator[str | Reply, None]:
    if match is None:
        yield Reply("", "")
        return
    text = request.canned[match.index].reply
    yield text
    yield Reply(text, match.model, canned=match)
