"""Tells what texts are written in: by their writing where that decides, else by a model."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import numpy as np

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard, Models
from services.mesh.ports import DetectedLanguage, Inference
from services.preprocessing.pipelines import contents

TASK = "language-identification"
UNKNOWN = DetectedLanguage("", 0.0)

# The beginning of a text tells as much as the whole.
_MAX_CHARACTERS = 1000
_MAX_ALTERNATIVES = 4
# Visible ASCII only, so that the Chinese after one is read; and bounded, since every letter may begin one.
_ADDRESS = re.compile(r"(?:https?://|www\.)[!-~]+|[A-Za-z0-9._%+-]{1,64}@[!-~]+")
# The model knows words as they stand between blanks: "merci" is French to it, "merci." Italian.
_MARKS = re.compile(r"[.,:;!?\u2026\u00a1\u00bf\"\u201c-\u201e\u00ab\u00bb()\[\]{}<>*|\\]+")
_HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"
_KANA = "\u3041-\u3096\u309d\u309e\u30a1-\u30fa\u30fc-\u30fe\uff66-\uff9f"
_HANGUL = "\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3"
_EAST_ASIAN = re.compile(f"[{_HAN}{_KANA}{_HANGUL}]+")
_IS_KANA = re.compile(f"[{_KANA}]+")
_IS_HANGUL = re.compile(f"[{_HANGUL}]+")
# Above this share of its East Asian characters a text is Japanese or Korean; a Chinese one may quote a word of either.
_TELLING_SHARE = 0.2
_EAST_ASIAN_CODES = frozenset({"zh", "yue", "wuu", "ja", "ko"})


def by_writing(text: str) -> DetectedLanguage | str:
    """The language, where the writing tells it or there are no letters; else what of the text a model should read.

    The writing with more UTF-8 bytes counts, since a Chinese character says as much as some three letters.
    """
    text = _ADDRESS.sub(" ", text[:_MAX_CHARACTERS])
    found = "".join(_EAST_ASIAN.findall(text))
    others = _EAST_ASIAN.sub(" ", text)
    other_bytes = sum(len(character.encode()) for character in others if character.isalpha())
    east_asian_bytes = len(found.encode())
    if east_asian_bytes == other_bytes == 0:
        return UNKNOWN
    if east_asian_bytes < other_bytes:
        return _MARKS.sub(" ", others)
    return _east_asian(found, east_asian_bytes / (east_asian_bytes + other_bytes))


class LanguageIdentifier:
    """Runs models with input text bytes[N, 1] and output languages bytes[N, 1], a JSON list of [code, probability]."""

    def __init__(self, inference: Inference, models: Models) -> None:
        self._inference = inference
        self._models = models

    @property
    def models(self) -> list[ModelCard]:
        """The models that are ready."""
        return self._models.listing()

    async def complete(
        self, read: Sequence[str | DetectedLanguage | errors.MeshError], model: str, deadline: Deadline
    ) -> tuple[list[DetectedLanguage | errors.MeshError], str]:
        """The same with a language in place of each text, and the name of the model, "" when none was needed.

        model: "" for the default. Raises NotFound, Unavailable, and what the port raises.
        """
        found = [each for each in read if not isinstance(each, str)]
        if len(found) == len(read) and not model:
            return found, ""
        card = self._models.pick(TASK, model)
        answers = iter(await self._identify([each for each in read if isinstance(each, str)], card, deadline))
        return [next(answers) if isinstance(each, str) else each for each in read], card.name

    async def _identify(self, texts: Sequence[str], card: ModelCard, deadline: Deadline) -> list[DetectedLanguage]:
        size = card.max_batch_size or contents.MAX_TEXTS
        found: list[DetectedLanguage] = []
        for begin in range(0, len(texts), size):
            column = np.array([[text.encode()] for text in texts[begin : begin + size]], np.object_)
            answer = await self._inference.infer(card.name, {"text": column}, ["languages"], deadline=deadline)
            found += [_best(json.loads(each)) for each in answer["languages"].flat]
        return found


def _east_asian(characters: str, share: float) -> DetectedLanguage:
    """Chinese, Japanese or Korean. share: of such characters in the text, in bytes."""
    kana = sum(map(len, _IS_KANA.findall(characters))) / len(characters)
    hangul = sum(map(len, _IS_HANGUL.findall(characters))) / len(characters)
    if max(kana, hangul) > _TELLING_SHARE:
        return DetectedLanguage("ko" if hangul > kana else "ja", share)
    # About half the characters of Japanese are kana: a few characters without any may be Japanese nevertheless.
    japanese = share / (1 + 2.0 ** min(len(characters), _MAX_CHARACTERS))
    alternatives = (("ja", japanese),) if japanese > 0.01 else ()  # noqa: PLR2004 - one in a hundred is not worth saying
    return DetectedLanguage("zh", share - japanese, alternatives)


def _best(candidates: Sequence[tuple[str, float]]) -> DetectedLanguage:
    """The first that is possible, and those after it."""
    possible = [(str(code), float(chance)) for code, chance in candidates if code not in _EAST_ASIAN_CODES]
    if not possible:
        return UNKNOWN
    (code, confidence), *others = possible
    return DetectedLanguage(code, confidence, tuple(others[:_MAX_ALTERNATIVES]))
