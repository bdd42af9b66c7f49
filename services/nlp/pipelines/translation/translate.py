"""Translation: texts in, texts in another language out, and what was not done as asked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard, Models
from services.mesh.ports import Inference, Preprocessor
from services.nlp.pipelines import generate, texts
from services.nlp.pipelines.generate import Generator, Usage
from services.nlp.pipelines.languages import Languages
from services.nlp.pipelines.translation import checks, chunks, markup, models, terms
from services.nlp.pipelines.translation.models import LanguageModel, SentenceModel, Writer
from services.nlp.pipelines.translation.pairs import Pair, Pairs, same

MAX_TEXT_BYTES = 16384
# From how many letters on it is worth asking which language a result is in.
_TELLING_LETTERS = 40
_SURE = 0.7


class IssueType(Enum):
    """What a translation did not do as asked."""

    REPAIRED = auto()
    LOST = auto()
    GLOSSARY_MISSED = auto()
    SUSPICIOUS = auto()


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that was not done as asked, and to what; "" for the whole text."""

    type: IssueType
    term: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted. source: "" to detect it. model: "" for the best. html: whether texts are marked up."""

    target: str
    source: str = ""
    model: str = ""
    wording: terms.Wording = field(default_factory=terms.Wording)
    html: bool = False


@dataclass(frozen=True, slots=True)
class Translated:
    """A text in the target language; pair: who translated, None when there was nothing to do."""

    text: str
    source: str
    pair: Pair | None = None
    issues: tuple[Issue, ...] = ()
    usage: Usage = field(default_factory=Usage)


class Translator:
    """Translates by whichever model was measured to be best at a pair of languages."""

    def __init__(
        self, inference: Inference, preprocessor: Preprocessor, models: Models, *, generations_at_once: int
    ) -> None:
        """generations_at_once: texts of one call that are translated at the same time."""
        self._at_once = generations_at_once
        self._inference = inference
        self._preprocessor = preprocessor
        self._models = models
        self._generator = Generator(inference)
        self._languages = Languages(preprocessor)

    def pairs(self) -> Pairs:
        """What the models that are ready translate. Raises Unavailable or Unimplemented when there is nothing."""
        pairs = Pairs(self._models.listing())
        if not pairs.listing():
            self._models.pick(models.TASK, "")
        return pairs

    async def translate(
        self, contents: Sequence[str], order: Order, deadline: Deadline
    ) -> list[Translated | errors.MeshError]:
        """Each text, in order; one that cannot be translated gets its error.

        Raises InvalidArgument when the pair asked for is not offered, and NotFound for an unknown model.
        """
        pairs = self.pairs()
        if order.model:
            self._require(order.model, pairs)
        if order.source and not same(order.source, order.target):
            self._pick(pairs, order.source, order)
        faults = [
            texts.text_fault(f"contents[{index}]", content, max_bytes=MAX_TEXT_BYTES)
            for index, content in enumerate(contents)
        ]
        # The same text is translated once.
        good = list(dict.fromkeys(content for content, fault in zip(contents, faults, strict=True) if fault is None))

        async def one(_: int, content: str) -> Translated:
            return await self._one(content, order, pairs, deadline)

        answers = dict(zip(good, await texts.each(good, one, at_once=self._at_once), strict=True))
        return [fault or answers[content] for content, fault in zip(contents, faults, strict=True)]

    def _require(self, model: str, pairs: Pairs) -> ModelCard:
        """The model. Raises NotFound, listing those that translate, and Unavailable while it is loading."""
        for task in (models.TASK, generate.TASK):
            with suppress(errors.NotFound, errors.Unimplemented):
                return self._models.pick(task, model)
        known = {pair.card.name for pair in pairs.listing()}
        raise errors.NotFound.named("model", model, sorted(known))

    def _pick(self, pairs: Pairs, source: str, order: Order) -> Pair:
        """The pair. Raises InvalidArgument, or Unavailable while a model is loading that may offer it."""
        try:
            return pairs.pick(source, order.target, order.model)
        except errors.InvalidArgument:
            for task in (models.TASK, generate.TASK):
                with suppress(errors.Unimplemented):
                    self._models.pick(task, "")
            raise

    async def _one(self, content: str, order: Order, pairs: Pairs, deadline: Deadline) -> Translated:
        text = markup.marked_up(content) if order.html else markup.plain(content)
        terms.protect(text, order.wording)
        words = " ".join(markup.HELD.sub(" ", piece.text) for piece in text.proses()).strip()
        if not checks.letters(words):
            # What a glossary translates needs no model.
            return Translated(text.rejoined() if order.wording.glossary else content, order.source)
        source = order.source or (await self._languages.of([words], "", deadline))[0]
        if not source:
            raise errors.InvalidArgument.field(
                "source_language_code", "is needed, because the language of the text could not be told"
            )
        if same(source, order.target):
            return Translated(content, source)
        pair = self._pick(pairs, source, order)
        return await _Work(self._preprocessor, text, pair, self._writer(pair), deadline).run(source)

    def _writer(self, pair: Pair) -> Writer:
        if pair.card.task == generate.TASK:
            return LanguageModel(self._generator, pair)
        return SentenceModel(self._inference, pair)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A translation of a chunk. odd: whether it looks wrong as a whole."""

    reading: terms.Reading
    odd: bool

    @property
    def faults(self) -> tuple[bool, int]:
        return self.odd, self.reading.faults


class _Work:
    """One text on its way through one model."""

    def __init__(
        self, preprocessor: Preprocessor, text: markup.Text, pair: Pair, writer: Writer, deadline: Deadline
    ) -> None:
        self._preprocessor = preprocessor
        self._text = text
        self._pair = pair
        self._writer = writer
        self._deadline = deadline
        self._usage = Usage()
        # In the order in which they came up, each once.
        self._issues: dict[Issue, None] = {}

    async def run(self, source: str) -> Translated:
        """The whole text."""
        cut = chunks.Cut(self._text, self._writer)
        await cut.find(self._preprocessor, self._pair.source, self._deadline)
        wanted = cut.wanted()
        done: dict[str, str] = {}
        for begin in range(0, len(wanted), self._writer.rows):
            group = wanted[begin : begin + self._writer.rows]
            done.update(zip(group, await self._group(group), strict=True))
        result = cut.joined(done, self._pair)
        return Translated(result, source, self._pair, tuple(self._issues), self._usage)

    async def _group(self, group: Sequence[str]) -> list[str]:
        """Chunks that the model takes at once; those with faults are tried in another way."""
        drafts = await self._drafts(group, again=False)
        bad = [index for index, draft in enumerate(drafts) if any(draft.faults)]
        if bad:
            others = await self._drafts([group[index] for index in bad], again=True)
            for index, other in zip(bad, others, strict=True):
                drafts[index] = min(drafts[index], other, key=lambda draft: draft.faults)
        return [self._finished(chunk, draft) for chunk, draft in zip(group, drafts, strict=True)]

    async def _drafts(self, group: Sequence[str], *, again: bool) -> list[_Draft]:
        seen = [terms.shown(self._text, chunk, masked=self._writer.masked != again) for chunk in group]
        written = await self._writer.write([source for source, _ in seen], self._deadline, again=again)
        drafts: list[_Draft] = []
        for chunk, (_, names), each in zip(group, seen, written, strict=True):
            self._usage += each.usage
            reading = terms.read(self._text, re.sub(r"\s*[\r\n]+\s*", " ", each.text.strip()), names)
            odd = not each.complete or checks.is_odd(_bare(chunk), _bare(reading.text), self._pair.target)
            drafts.append(_Draft(reading, odd))
        return await self._told(drafts)

    async def _told(self, drafts: list[_Draft]) -> list[_Draft]:
        """The drafts, those that are still in the language of the source marked as odd."""
        telling = [
            index for index, draft in enumerate(drafts) if checks.letters(draft.reading.text) >= _TELLING_LETTERS
        ]
        if telling:
            results = [_bare(drafts[index].reading.text) for index in telling]
            found = await self._preprocessor.detect_language(results, deadline=self._deadline)
            for index, language in zip(telling, found, strict=True):
                if language.confidence >= _SURE and same(language.language_code, self._pair.source):
                    drafts[index] = _Draft(drafts[index].reading, odd=True)
        return drafts

    def _finished(self, chunk: str, draft: _Draft) -> str:
        result, back, lost = terms.mended(self._text, chunk, draft.reading)
        for kept in back:
            self._issues[Issue(IssueType.REPAIRED, kept.raw)] = None
        for kept in lost:
            missed = kept.kind is markup.Kind.GLOSSARY
            self._issues[Issue(IssueType.GLOSSARY_MISSED if missed else IssueType.LOST, kept.raw)] = None
        if draft.odd:
            self._issues[Issue(IssueType.SUSPICIOUS)] = None
        else:
            source, _ = terms.shown(self._text, chunk, masked=False)
            target, _ = terms.shown(self._text, result, masked=False)
            self._writer.remember(source, target)
        return result


def _bare(prose: str) -> str:
    return markup.HELD.sub(" ", prose)
