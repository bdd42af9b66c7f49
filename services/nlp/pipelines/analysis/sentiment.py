"""Whether texts, and their sentences, speak well or badly of their subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard, Models
from services.mesh.ports import Preprocessor, Sentence
from services.nlp.pipelines.analysis.inputs import Text, by_model, choose
from services.nlp.pipelines.encode import Encoded, TextEncoder

TASK = "sentiment-analysis"
# Those after them are not judged; the proto says so.
MAX_SENTENCES = 200
# Between these probabilities of "positive" a text is called neutral; the proto states them.
NEUTRAL = (0.35, 0.65)


@dataclass(frozen=True, slots=True)
class Feeling:
    """The probabilities, 0..1, that a text is negative and that it is positive; they add up to 1."""

    negative: float
    positive: float

    @property
    def score(self) -> float:
        """From -1, wholly negative, to 1, wholly positive."""
        return self.positive - self.negative

    @property
    def side(self) -> int:
        """-1 for negative, 1 for positive, 0 for neither clearly."""
        low, high = NEUTRAL
        return (self.positive > high) - (self.positive < low)


@dataclass(frozen=True, slots=True)
class TextSentiment:
    """What was found about one text. sentences: empty unless asked for."""

    text: Text
    model: str
    feeling: Feeling
    truncated: bool
    sentences: tuple[tuple[Sentence, Feeling], ...] = ()

    @property
    def magnitude(self) -> float:
        """How much feeling there is in all sentences, good or bad."""
        return sum(abs(feeling.score) for _, feeling in self.sentences)


class SentimentAnalysis:
    """Judges texts with the models of task sentiment-analysis, whose labels are negative and positive."""

    def __init__(self, encoder: TextEncoder, preprocessor: Preprocessor, models: Models) -> None:
        self._encoder = encoder
        self._preprocessor = preprocessor
        self._models = models

    async def analyze(
        self, texts: Sequence[Text], deadline: Deadline, *, model: str = "", sentences: bool = False
    ) -> list[TextSentiment]:
        """One judgement a text, in order.

        model: "" for the default of each text's language. sentences: whether each sentence is judged too.
        Raises what `choose`, `Models.pick` and the ports raise.
        """
        cards = [choose(self._models, TASK, model, text) for text in texts]

        async def work(card: ModelCard, group: list[Text]) -> list[TextSentiment]:
            found = await self._sentences(group, deadline) if sentences else [[] for _ in group]
            parts = [
                text.content[part.begin : part.end] for text, row in zip(group, found, strict=True) for part in row
            ]
            judged = await self._encoder.judge([*(text.content for text in group), *parts], card, deadline)
            of_parts = iter(judged[len(group) :])
            return [
                TextSentiment(
                    text,
                    card.name,
                    _feeling(whole),
                    whole.truncated,
                    tuple((part, _feeling(next(of_parts))) for part in row),
                )
                for text, whole, row in zip(group, judged, found, strict=False)
            ]

        return await by_model(texts, cards, work)

    async def _sentences(self, texts: Sequence[Text], deadline: Deadline) -> list[list[Sentence]]:
        found = await self._preprocessor.segment(
            [text.content for text in texts],
            language_codes=[text.language_code for text in texts],
            deadline=deadline,
        )
        return [row[:MAX_SENTENCES] for row in found]


def _feeling(judged: Encoded) -> Feeling:
    negative, positive = (float(value) for value in judged.values)
    return Feeling(negative, positive)
