"""One summary while a language model writes it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.nlp.pipelines.generate import Generator, Sampling, Usage
from services.nlp.pipelines.summary import prompts
from services.nlp.pipelines.summary.form import Form, Wish
from services.nlp.pipelines.words import count_words

# With more, a text that is read at once (summarize.ONCE_TOKENS) would not fit a context of 4,096.
_MAX_TOKENS = 1200


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A wish that was not met: the option's name, and what was got, as a sentence."""

    field: str
    description: str


class Composition:
    """Asks for a summary, once more if need be, and keeps it to its form.

    form: what was taken so far. usage: tokens of all tries.
    """

    def __init__(self, generator: Generator, card: ModelCard, wish: Wish, code: str) -> None:
        self._generator = generator
        self._card = card
        self._wish = wish
        self._code = code
        self.form = Form(wish)
        self.usage = Usage()
        self._too_long: list[str] = []

    async def stream(self, text: str, deadline: Deadline) -> AsyncGenerator[str, None]:
        """What fits the wish, as it is written; asks once more when nothing did."""
        correction = ""
        for _ in range(2):
            self.form = Form(self._wish)
            async with aclosing(self._ask(text, correction, deadline)) as pieces:
                async for piece in pieces:
                    yield piece
            if not self.form.empty:
                return
            self._too_long += self.form.too_long
            if self.form.too_long:
                correction = prompts.too_long(self._wish, self._code)
            else:
                correction = prompts.wrong_language(self._code)
        if self._too_long:
            yield self.form.force(min(self._too_long, key=count_words))

    async def _ask(self, text: str, correction: str, deadline: Deadline) -> AsyncGenerator[str, None]:
        messages = prompts.summary(text, self._wish, self._code, correction)
        sampling = Sampling(max_tokens=_most_tokens(self._wish))
        before, last = self.usage, Usage()
        reason = ""
        async with aclosing(self._generator.stream(messages, self._card, sampling, deadline)) as pieces:
            async for piece in pieces:
                last, reason = piece.usage, piece.finish_reason
                new = self.form.add(piece.text)
                if new:
                    yield new
                if self.form.full:
                    break
        self.usage = before + last
        if not self.form.full and (rest := self.form.finish(complete=reason == "stop")):
            yield rest

    def shortfalls(self, written_in: str) -> list[Shortfall]:
        """What was not met. written_in: language of the summary as detected, "" if it cannot be told."""
        found = []
        words = count_words(self.form.text)
        if self._wish.max_words and words > self._wish.max_words:
            found.append(Shortfall("max_words", f"The shortest that the model wrote has {words} words."))
        if self.form.empty:
            found.append(Shortfall("max_sentences", "The model wrote nothing that could be taken."))
        if self._code and written_in and written_in != self._code:
            found.append(Shortfall("language_code", f"The summary seems to be in {written_in!r}."))
        return found


def _most_tokens(wish: Wish) -> int:
    """Enough for what is wanted, so that a model which does not end is stopped."""
    by_sentences = 64 if wish.style == "headline" else min(80 * wish.max_sentences, _MAX_TOKENS)
    return min(by_sentences, 3 * wish.max_words + 32) if wish.max_words else by_sentences
