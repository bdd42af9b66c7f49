"""Speech for tests: a word is a third of a second of one value, which a fake model reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from services.mesh.models import ModelCard
from services.mesh.ports import Array

RATE = 16_000
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CARD = ModelCard(
    name="ear", task="speech-recognition", summary="", languages=("en", "de"), preprocess={"sample_rate_hertz": RATE}
)


def silence(seconds: float) -> NDArray[np.float32]:
    """Nothing."""
    return np.zeros(round(seconds * RATE), np.float32)


def speak(*numbers: int) -> NDArray[np.float32]:
    """These words, with short pauses between."""
    word = round(RATE / 3)
    return np.concatenate(
        [part for number in numbers for part in (np.full(word, 0.1 + number / 100, np.float32), silence(0.05))]
    )


def read(samples: NDArray[np.float32]) -> str:
    """What they say."""
    values = np.round((samples - 0.1) * 100).astype(int)
    return " ".join(WORDS[value] for value, _ in groupby(values) if value >= 0)


def answer(transcript: str, *, language: str = "en", probability: float = 1.0) -> dict[str, Array]:
    """As a model answers."""
    segments = [{"text": transcript, "start": 0.0, "end": 1.0, "confidence": 0.9, "words": words(transcript.split())}]
    found = {
        "language": language,
        "language_probability": probability,
        "duration": 1.0,
        "segments": segments if transcript else [],
    }
    return {"result": np.array([json.dumps(found).encode()], object)}


def words(texts: Sequence[str]) -> list[dict[str, object]]:
    """With times."""
    return [{"word": text, "start": 0.1, "end": 0.2, "confidence": 0.8} for text in texts]


def ear(_: str, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """A model that hears these words."""
    options = json.loads(inputs["options"][0])
    return answer(read(inputs["audio"]), language=options["language"] or "en")
