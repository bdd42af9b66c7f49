"""Who speaks: the voices of the models, and which of them a request means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from services.mesh import errors
from services.mesh.models import ModelCard, Models, primary_subtag
from services.speech.pipelines.synthesis.writing import seems_chinese

SYNTHESIS = "speech-synthesis"

Gender = Literal["", "female", "male"]


@dataclass(frozen=True, slots=True)
class Voice:
    """One voice of a model. gain: what its sound is multiplied with, so that all voices are equally loud."""

    name: str
    card: ModelCard
    languages: tuple[str, ...]
    gender: Gender = ""
    gain: float = 1.0

    @property
    def sample_rate_hertz(self) -> int:
        """Of its model."""
        return int(self.card.preprocess["sample_rate_hertz"])

    def speaks(self, language: str) -> bool:
        """Whether it speaks a language, given without a region; every voice speaks ""."""
        return not language or language in map(primary_subtag, self.languages)


@dataclass(frozen=True, slots=True)
class Speaker:
    """A voice and the language that it is to speak, without a region."""

    voice: Voice
    language: str


def voices_of(card: ModelCard) -> list[Voice]:
    """The voices that a catalog entry lists, in its order; one without details speaks all that its model knows."""
    details = card.preprocess.get("voice_details", {})
    return [
        Voice(
            name,
            card,
            tuple(details.get(name, {}).get("languages", card.languages)),
            details.get(name, {}).get("gender", ""),
            10 ** (details.get(name, {}).get("gain_db", 0) / 20),
        )
        for name in card.preprocess["voices"]
    ]


def list_voices(models: Models, language_code: str) -> list[Voice]:
    """All voices that speak a language, "" for any; those of default models first."""
    cards = sorted(models.listing(SYNTHESIS), key=lambda card: (not card.default, card.name))
    language = primary_subtag(language_code)
    return [voice for card in cards for voice in voices_of(card) if voice.speaks(language)]


def choose(models: Models, *, language_code: str, voice: str, model: str, text: str | None) -> Speaker | None:
    """Who a request means by its language, voice and model, each "" when it does not say.

    text: tells the language when neither language nor voice does; None when it is not known yet, and then so is the
    answer. Raises NotFound, Unavailable and InvalidArgument naming the field.
    """
    card = _card_of_voice(models, voice) if voice and not model else None
    if voice:
        card = card or models.pick(SYNTHESIS, model)
        found = next((each for each in voices_of(card) if each.name == voice), None)
        if found is None:
            raise errors.NotFound.named("voice", voice, card.preprocess["voices"])
        language = primary_subtag(language_code) or primary_subtag(found.languages[0])
        if not found.speaks(language):
            raise errors.InvalidArgument.field(
                "language_code", f"voice {voice!r} does not speak {language_code!r}; it speaks: {_listing([found])}"
            )
        return Speaker(found, language)
    if not language_code and text is None:
        models.pick(SYNTHESIS, model)
        return None
    language_code = language_code or ("zh" if seems_chinese(text or "") else "en")
    card = models.pick(SYNTHESIS, model, language_code=language_code)
    if not card.knows(language_code):
        known = voices_of(card) if model else list_voices(models, "")
        raise errors.InvalidArgument.field(
            "language_code",
            f"no voice{f' of {model!r}' if model else ''} speaks {language_code!r}; they speak: {_listing(known)}",
        )
    language = primary_subtag(language_code)
    speaking = [each for each in voices_of(card) if each.speaks(language)]
    regional = [each for each in speaking if language_code.lower() in map(str.lower, each.languages)]
    return Speaker((regional or speaking)[0], language)


def _card_of_voice(models: Models, voice: str) -> ModelCard | None:
    """The model that has the voice, a default one rather than another. Raises NotFound, listing all voices."""
    models.pick(SYNTHESIS, "")  # Unavailable when nothing is ready yet.
    known = list_voices(models, "")
    for each in known:
        if each.name == voice:
            return each.card
    raise errors.NotFound.named("voice", voice, [each.name for each in known])


def _listing(voices: Sequence[Voice]) -> str:
    return ", ".join(dict.fromkeys(language for voice in voices for language in voice.languages))
