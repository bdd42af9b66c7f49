"""Answers that keep to passages, by a model that is too weak to do so by itself.

The sentences nearest to the question are shown to the model one by one, and it says of each whether it states what is
asked. Then it answers from those sentences alone, and what they do not bear out is not let through. So a question that
the passages do not answer gets no answer, and each answer has its sentences.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.nlp.pipelines.conversation import prompts
from services.nlp.pipelines.conversation.evidence import Evidence, EvidenceFinder, Passage
from services.nlp.pipelines.figures import figures, unsupported
from services.nlp.pipelines.generate import Generator, Message, Sampling, Usage
from services.nlp.pipelines.words import is_cjk, sentences, terms

# An answer has so much of its meaning from the sentences that it cites, or from the question.
_BORNE_OUT = 0.5
# A further sentence is cited when it bears out so much by itself.
_CITED = 0.8
# A reply may rest on so many sentences, an answer of a few words on one.
_MAX_CITED = 2
_VERDICT = Sampling(max_tokens=2)


@dataclass(frozen=True, slots=True)
class Cited:
    """A sentence that an answer rests on. score: 0..1."""

    evidence: Evidence
    score: float


@dataclass(frozen=True, slots=True)
class Grounded:
    """An answer from passages; when they have none, nothing is cited and the text is empty.

    finish_reason: "stop", or "length" when the answer was cut.
    """

    text: str
    cited: tuple[Cited, ...] = ()
    finish_reason: str = "stop"
    usage: Usage = field(default_factory=Usage)

    @property
    def score(self) -> float:
        """How sure the answer is, 0..1."""
        return self.cited[0].score if self.cited else 0.0


class Grounding:
    """Asks a model, and lets through what the passages bear out."""

    def __init__(self, generator: Generator, finder: EvidenceFinder) -> None:
        self._generator = generator
        self._finder = finder

    async def stream(
        self,
        messages: Sequence[Message],
        passages: Sequence[Passage],
        card: ModelCard,
        sampling: Sampling,
        deadline: Deadline,
        *,
        code: str,
        brief: bool = False,
    ) -> AsyncGenerator[str | Grounded, None]:
        """The answer to the last message, sentence by sentence as each is checked, and then as a whole.

        sampling: without a schema, which would constrain what is checked sentence by sentence. code: language of the
        answer, "" if unknown. brief: a few words instead of a sentence.
        """
        question = prompts.sought(messages)
        candidates = await self._finder.find(question, code, passages, deadline)
        # One after the other: they begin alike, and a model's slot keeps what it read last.
        usage, evidence = Usage(), []
        for candidate in candidates:
            states, spent = await self._states(candidate, question, card, code, deadline)
            usage += spent
            if states:
                evidence.append(candidate)
            if len(evidence) == (1 if brief else _MAX_CITED):
                break
        if not evidence:
            yield Grounded("", usage=usage)
            return
        asked = prompts.answer(messages, [each.in_context for each in evidence], code, brief=brief)
        # The model's stop sequences are looked for in what it writes, which is the answer alone.
        check = _Check(question, evidence)
        last, reason, raw = Usage(), "", ""
        async with aclosing(self._generator.stream(asked, card, sampling, deadline)) as pieces:
            async for piece in pieces:
                last, reason, raw = piece.usage, piece.finish_reason, raw + piece.text
                for new in check.read(raw, ended=bool(reason)):
                    yield new
                if check.ended:
                    break
        cut = reason == "length" and not check.ended
        yield Grounded(check.text, check.cited(), "length" if cut else "stop", usage + last)

    async def _states(
        self, evidence: Evidence, question: str, card: ModelCard, code: str, deadline: Deadline
    ) -> tuple[bool, Usage]:
        """Whether a sentence states what is asked, as the model sees it."""
        asked = prompts.verdict(evidence.in_context, question, code)
        said = await self._generator.complete(asked, card, _VERDICT, deadline)
        return "yes" in said.text.lower(), said.usage


class _Check:
    """Reads what the model writes, and holds back what does not hold."""

    def __init__(self, question: str, evidence: Sequence[Evidence]) -> None:
        self._question = question
        # What the model was shown, each sentence by itself: the answer may stand in the one before.
        both = {(one.passage, one.begin): one for each in evidence for one in (each, each.before) if one}
        self._shown = list(both.values())
        self._parts: list[str] = []
        self._support = 1.0
        self._checked = 0
        # Nothing more of the model is wanted.
        self.ended = False

    @property
    def text(self) -> str:
        """What was let through."""
        return "".join(self._parts)

    def cited(self) -> tuple[Cited, ...]:
        """The sentences that bear out what was let through, the strongest first."""
        if not self._parts:
            return ()
        scored = [Cited(one, self._support * borne_out(self.text, one.text, self._question)) for one in self._shown]
        strongest = sorted(scored, key=lambda each: -each.score)
        return tuple(each for each in strongest if each.score >= _CITED or each is strongest[0])[:_MAX_CITED]

    def read(self, raw: str, *, ended: bool) -> list[str]:
        """What can be let through. raw: all that the model wrote so far; ended: it will not go on."""
        spans = sentences(raw)
        whole = [span for span in spans if ended or span[1] < len(raw.rstrip())]
        new = []
        for number, (begin, end) in enumerate(whole[self._checked :], self._checked):
            self._checked = number + 1
            part = raw[begin:end].strip() if not number else raw[whole[number - 1][1] : end].rstrip()
            support = borne_out(part, " ".join(one.text for one in self._shown), self._question)
            if support < _BORNE_OUT:
                # What is quoted is true, whatever the model makes of it; unless it says that there is no answer.
                part = "" if self._parts or prompts.refuses(part) else self._nearest(part).text
                self.ended = True
            else:
                self._support = min(self._support, support)
            if part:
                self._parts.append(part)
                new.append(part)
            if self.ended:
                break
        return new

    def _nearest(self, answer: str) -> Evidence:
        """The sentence that has most of the question and of what the model made of it."""
        meant = terms(self._question) | terms(answer)
        return max(self._shown, key=lambda one: len(meant & terms(one.text)))


def borne_out(answer: str, sentence: str, question: str) -> float:
    """How much of an answer stands in the sentence that it cites or in the question, 0..1.

    0 for numbers from nowhere, for a "yes" where the sentence denies and the reverse, and for what says no more than
    the question. Across languages only numbers can be compared.
    """
    if prompts.refuses(answer) or unsupported(answer, f"{sentence}\n{question}"):
        return 0.0
    if is_cjk(answer) != is_cjk(sentence):
        return 1.0
    polar = prompts.is_polar(question)
    if polar and prompts.denies(sentence) != prompts.denies(answer):
        return 0.0
    said, asked, stated = terms(answer), terms(question), terms(sentence)
    numbers = len(figures(answer))
    if said and said <= asked - stated and not numbers and not polar:
        return 0.0
    return (len(said & (stated | asked)) + numbers) / (len(said) + numbers) if said else 1.0
