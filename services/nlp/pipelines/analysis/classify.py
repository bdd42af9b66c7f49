"""Which labels fit texts: any labels, by likeness of meaning, or those that a model was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard, Models
from services.mesh.together import together
from services.nlp.pipelines.analysis.inputs import Text, by_model, choose
from services.nlp.pipelines.encode import EMBEDDING, TextEncoder
from services.nlp.pipelines.texts import require_count

TASK = "text-classification"
MAX_LABELS = 100
MAX_LABEL_CHARACTERS = 100
# For models whose catalog entry does not say better: e5's similarities lie close together, and 0.05 spreads them.
_TEMPERATURE = 0.05


@dataclass(frozen=True, slots=True)
class TextLabels:
    """How well labels fit one text: label and score, the best first; the scores of all labels add up to 1."""

    text: Text
    model: str
    scores: tuple[tuple[str, float], ...]
    truncated: bool


def require_labels(labels: Sequence[str], *, field: str = "labels") -> list[str]:
    """The labels without white space around them; there may be none. Raises InvalidArgument for what no model takes."""
    if not labels:
        return []
    require_count(field, labels, low=2, high=MAX_LABELS, things="labels (none for those of a trained model)")
    known: dict[str, int] = {}
    for index, label in enumerate(labels):
        bare = label.strip()
        if not 1 <= len(bare) <= MAX_LABEL_CHARACTERS:
            raise errors.InvalidArgument.field(
                f"{field}[{index}]", f"takes 1 to {MAX_LABEL_CHARACTERS} characters, got {len(bare)}"
            )
        if known.setdefault(bare.casefold(), index) != index:
            raise errors.InvalidArgument.field(f"{field}[{index}]", f"is the same as label {known[bare.casefold()]}")
    return [label.strip() for label in labels]


class TextClassification:
    """Sorts texts with the models of tasks text-embedding (any labels) and text-classification (trained)."""

    def __init__(self, encoder: TextEncoder, models: Models) -> None:
        self._encoder = encoder
        self._models = models

    async def classify(
        self, texts: Sequence[Text], labels: Sequence[str], deadline: Deadline, *, model: str = ""
    ) -> list[TextLabels]:
        """The labels of each text, in order.

        labels: as `require_labels` gives them; none means those of the trained model. model: "" for the best of each
        text's language. Raises what `choose`, `Models.pick` and the ports raise.
        """
        if labels:
            cards = [self._best(text, labels, model) for text in texts]
        else:
            cards = [choose(self._models, TASK, model, text) for text in texts]

        async def work(card: ModelCard, group: list[Text]) -> list[TextLabels]:
            if labels:
                return await self._by_likeness(group, labels, card, deadline)
            judged = await self._encoder.judge([text.content for text in group], card, deadline)
            return [
                TextLabels(text, card.name, _ranked(card.labels, answer.values), answer.truncated)
                for text, answer in zip(group, judged, strict=True)
            ]

        return await by_model(texts, cards, work)

    def _best(self, text: Text, labels: Sequence[str], model: str) -> ModelCard:
        """The embedding model that was measured best at this in the text's language, else the default.

        It must know Chinese, too, when a label is written in it.
        """
        codes = [text.language_code, *("zh" for _ in filter(_is_chinese, labels))]
        metric = f"zero_shot_accuracy_{text.language_code}"
        measured = [
            card
            for card in self._models.listing()
            if card.task == EMBEDDING and metric in card.metrics and all(map(card.knows, codes))
        ]
        if model or not measured:
            return choose(self._models, EMBEDDING, model, text)
        return max(measured, key=lambda card: card.metrics[metric])

    async def _by_likeness(
        self, texts: Sequence[Text], labels: Sequence[str], card: ModelCard, deadline: Deadline
    ) -> list[TextLabels]:
        """By the cosine similarity of the text, as a query, and a sentence that says the label, as a passage."""
        options = card.preprocess.get("zero_shot", {})
        templates = options.get("template", {})
        sentences = {
            language: [_sentence(label, language, templates) for label in labels]
            for language in {text.language_code for text in texts}
        }
        said = list(dict.fromkeys(chain(*sentences.values())))
        encoded, directions = await together(
            [
                self._encoder.embed([text.content for text in texts], card, deadline, kind="query"),
                self._encoder.embed(said, card, deadline, kind="passage"),
            ]
        )
        vectors = {sentence: direction.values for sentence, direction in zip(said, directions, strict=True)}
        answers = []
        for text, answer in zip(texts, encoded, strict=True):
            similarities = np.stack([vectors[each] for each in sentences[text.language_code]]) @ answer.values
            scores = _softmax(similarities / options.get("temperature", _TEMPERATURE))
            answers.append(TextLabels(text, card.name, _ranked(labels, scores), answer.truncated))
        return answers


def _is_chinese(label: str) -> bool:
    return any("\u4e00" <= character <= "\u9fff" for character in label)


def _sentence(label: str, language_code: str, templates: Mapping[str, str]) -> str:
    """A sentence that says the label: in the text's language, unless the label is plainly in another."""
    if _is_chinese(label):
        language_code = "ja" if language_code == "ja" else "zh"
    elif language_code in {"zh", "ja"}:
        language_code = "en"
    template = templates.get(language_code, templates.get("en", "{label}"))
    return template.replace("{label}", label)


def _softmax(values: NDArray[np.float32]) -> NDArray[np.float32]:
    likelihoods = np.exp(values - values.max())
    shares: NDArray[np.float32] = likelihoods / likelihoods.sum()
    return shares


def _ranked(labels: Sequence[str], scores: NDArray[np.float32]) -> tuple[tuple[str, float], ...]:
    pairs = [(label, float(score)) for label, score in zip(labels, scores, strict=True)]
    return tuple(sorted(pairs, key=lambda pair: -pair[1]))
