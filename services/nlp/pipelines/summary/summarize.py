"""Summaries: sentences of the text itself, or new ones by a language model.

A text that the model's context holds is read at once. A longer one is read in parts, whose summaries are summarised; of
a still longer one, or when time is short, only the most telling sentences are read.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Literal

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard, Models
from services.mesh.ports import Sentence
from services.nlp.pipelines.encode import EMBEDDING
from services.nlp.pipelines.generate import TASK, Generator, Usage
from services.nlp.pipelines.languages import Languages
from services.nlp.pipelines.summary.claims import Claim, ClaimCheck
from services.nlp.pipelines.summary.compose import Composition, Shortfall
from services.nlp.pipelines.summary.extract import Chosen, Extractor
from services.nlp.pipelines.summary.form import Wish
from services.nlp.pipelines.texts import each
from services.nlp.pipelines.words import count_words, estimated_tokens, is_cjk

MAX_BYTES = 131072
# Tokens of text that a model with a context of 4,096 reads at once, beside its instructions and what it writes.
ONCE_TOKENS = 2500
# A part of a longer text, and how many of them are read: some 28 KiB of English.
PART_TOKENS = 2000
MAX_PARTS = 4
# Of the time that is left, reading may take so much; the rest is for writing. But so much is read in any case.
_READING_SHARE = 0.5
_LEAST_TOKENS = 300
_PART = Wish("paragraph", max_sentences=4)
# A sentence that is its own summary has no more words.
_SHORT_WORDS = 60


@dataclass(frozen=True, slots=True)
class SummaryOptions:
    """What is wanted. language_code: "" to detect it. model: "" for the method's default.

    parts_at_once: of a long text, how many are read at the same time; each holds one of the model's slots for seconds.
    """

    method: Literal["extractive", "abstractive"] = "abstractive"
    wish: Wish = field(default_factory=Wish)
    language_code: str = ""
    model: str = ""
    parts_at_once: int = 4


@dataclass(frozen=True, slots=True)
class Summary:
    """A summary. sentences: of the text, when extractive. read_share: of the text, in characters."""

    content: str
    language_code: str
    model: str
    sentences: tuple[Chosen, ...] = ()
    claims: tuple[Claim, ...] = ()
    shortfalls: tuple[Shortfall, ...] = ()
    parts: int = 1
    read_share: float = 1.0
    usage: Usage = field(default_factory=Usage)


class Summarizer:
    """Summarises texts."""

    def __init__(
        self, generator: Generator, extractor: Extractor, claims: ClaimCheck, languages: Languages, models: Models
    ) -> None:
        self._generator = generator
        self._extractor = extractor
        self._claims = claims
        self._languages = languages
        self._models = models

    async def summarize(self, text: str, options: SummaryOptions, deadline: Deadline, *, field: str) -> Summary:
        """The summary of a text; see `stream`."""
        async with aclosing(self.stream(text, options, deadline, field=field)) as events:
            async for event in events:
                if isinstance(event, Summary):
                    return event
        raise errors.Internal("a summary ended without its result")

    async def stream(
        self, text: str, options: SummaryOptions, deadline: Deadline, *, field: str
    ) -> AsyncGenerator[str | Summary, None]:
        """The summary in pieces, which joined are its content, and then itself.

        text: of a size that was checked. field: its name in the request, for errors. Raises InvalidArgument for a text
        without words, and what Models.pick and the ports raise.
        """
        if not count_words(text):
            raise errors.InvalidArgument.field(field, "has no words that could be summarised")
        (code,) = await self._languages.of([text], options.language_code, deadline)
        found = await self._extractor.sentences(text, code, deadline)
        if options.method == "extractive":
            summary = await self._extractive(text, found, code, options, deadline)
            if summary.content:
                yield summary.content
            yield summary
            return
        card = self._models.pick(TASK, options.model, language_code=code)
        if options.language_code:
            card.require_language(options.language_code, field="options.language_code")
        if len(found) == 1 and (summary_ := _itself(text, found[0], code, options.wish, card)):
            yield summary_.content
            yield summary_
            return
        read, parts, share, usage = await self._condensed(
            text, found, code, card, deadline, at_once=options.parts_at_once
        )
        wish = replace(options.wish, max_sentences=min(options.wish.max_sentences, max(1, len(found) - 1)))
        writing = Composition(self._generator, card, wish, code)
        async with aclosing(writing.stream(read, deadline)) as pieces:
            async for piece in pieces:
                yield piece
        content = writing.form.text
        claims = await self._claims.unsupported(content, text, code, deadline)
        (written_in,) = await self._languages.of([content], "", deadline) if content else [""]
        shortfalls = writing.shortfalls(written_in)
        usage += writing.usage
        yield Summary(content, code, card.name, (), tuple(claims), tuple(shortfalls), parts, share, usage)

    async def _extractive(
        self, text: str, found: Sequence[Sentence], code: str, options: SummaryOptions, deadline: Deadline
    ) -> Summary:
        card = self._models.pick(EMBEDDING, options.model, language_code=code)
        wish = options.wish
        budget = wish.max_words or float("inf")
        chosen = await self._extractor.choose(text, found, card, deadline, most=wish.max_sentences, budget=budget)
        shortfalls = []
        if not chosen:
            shortest = min(count_words(text[each.begin : each.end]) for each in found)
            shortfalls = [Shortfall("max_words", f"The shortest sentence of the text has {shortest} words.")]
        joint = "" if is_cjk(text) else " "
        content = joint.join(text[each.begin : each.end] for each in chosen)
        return Summary(content, code, card.name, tuple(chosen), shortfalls=tuple(shortfalls))

    async def _condensed(
        self, text: str, found: Sequence[Sentence], code: str, card: ModelCard, deadline: Deadline, *, at_once: int
    ) -> tuple[str, int, float, Usage]:
        """What the last pass is to read: the text, or summaries of its parts; how many parts, the share read."""
        room = _room(card, deadline)
        if estimated_tokens(text) <= min(ONCE_TOKENS, room):
            return text, 1, 1.0, Usage()
        pieces = [text[each.begin : each.end] for each in found]
        total = sum(map(len, pieces))
        if sum(map(estimated_tokens, pieces)) > room:
            embedder = self._models.pick(EMBEDDING, "", language_code=code)
            # Parts are filled up to a sentence, so a little less is taken than they hold.
            chosen = await self._extractor.choose(
                text,
                found,
                embedder,
                deadline,
                most=len(found),
                budget=0.9 * room,
                cost=lambda sentence: min(estimated_tokens(sentence), PART_TOKENS),
            )
            pieces = [text[each.begin : each.end] for each in chosen]
        parts = _packed(pieces, PART_TOKENS)
        share = min(1.0, sum(map(len, parts)) / max(total, 1))
        if len(parts) == 1:
            return parts[0], 1, share, Usage()

        async def shorten(_: int, part: str) -> Composition:
            writing = Composition(self._generator, card, _PART, code)
            async with aclosing(writing.stream(part, deadline)) as written:
                async for _piece in written:
                    pass
            return writing

        done = await each(parts, shorten, at_once=at_once)
        usage, summaries = Usage(), []
        for writing in done:
            if isinstance(writing, errors.MeshError):
                raise writing
            usage += writing.usage
            summaries.append(writing.form.text)
        return "\n".join(summaries), len(parts), share, usage


def _room(card: ModelCard, deadline: Deadline) -> int:
    """How many tokens of a text can be read: less where the model is known to be too slow for the time that is left."""
    most = MAX_PARTS * PART_TOKENS
    pace = card.reads_tokens_per_second
    return (
        most
        if pace is None
        else max(_LEAST_TOKENS, min(most, int(_READING_SHARE * pace * deadline.remaining_seconds())))
    )


def _itself(text: str, sentence: Sentence, code: str, wish: Wish, card: ModelCard) -> Summary | None:
    """A short sentence is its own summary: a model would only add to it."""
    content = " ".join(text[sentence.begin : sentence.end].split())
    words = count_words(content)
    if wish.style == "headline" or words > min(wish.max_words or _SHORT_WORDS, _SHORT_WORDS):
        return None
    return Summary(f"- {content}" if wish.style == "bullets" else content, code, card.name)


def _packed(pieces: Sequence[str], most_tokens: int) -> list[str]:
    """Sentences in as few parts of that many tokens as their order allows; one that is longer is cut."""
    parts: list[list[str]] = [[]]
    used = 0
    for piece in pieces:
        cost = estimated_tokens(piece)
        fitting = piece if cost <= most_tokens else piece[: len(piece) * most_tokens // cost]
        cost = min(cost, most_tokens)
        if parts[-1] and used + cost > most_tokens:
            parts.append([])
            used = 0
        parts[-1].append(fitting)
        used += cost
    return [" ".join(part) for part in parts]
