"""Reads one piece of speech with Whisper on CTranslate2.

The encoder gets the piece and two seconds of silence instead of the thirty seconds that it was trained on, which makes
a short piece several times cheaper. Some readings of short pieces go round in a loop then: they are done again in full.
Text is read without Whisper's own time marks, which drift; words get their times from its cross-attention.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import merge_punctuations
from numpy.typing import NDArray

SAMPLE_RATE_HERTZ = 16_000
MAX_SECONDS = 30.0

_FRAMES_PER_SECOND = 100
_MARGIN_SECONDS = 2.0
_BEAM = 5
# Below it the language is looked for again. Spanish was taken for English with .55, and is Spanish with .81 then.
_SURE_OF_LANGUAGE = 0.8
# Nobody says more tokens than that; a reading that takes more is a loop.
_TOKENS, _TOKENS_PER_SECOND = 16, 14
# Of the 448 places of the decoder, half are for what it reads before.
_PROMPT_TOKENS = 223
# A reading less probable than that is noise; one less probable than the second if the model hears no speech.
_NOISE_LOGPROB, _DOUBTFUL_LOGPROB, _NO_SPEECH = -1.0, -0.6, 0.6
# Below that, there is no sound at all.
_SILENCE = 1e-3
# Whisper writes Chinese in both ways; this makes it write simplified characters.
_CONTEXTS = {"zh": "以下是普通话的句子。"}
_SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’)」』]*$")
_ABBREVIATION = re.compile(r"\b(?:[A-Z]|Mr|Ms|Mrs|Dr|St|No)\.$")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is wanted; see services/speech/pipelines/recognition/transcriber.py."""

    language: str = ""
    word_times: bool = False
    hints: Sequence[str] = ()
    context: str = ""
    alternatives: int = 0
    quick: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """tokens: of each way to read it, best first; logprobs: their mean; encoded: what the decoder looked at."""

    encoded: Any
    frames: int
    tokenizer: Tokenizer
    tokens: list[list[int]]
    logprobs: list[float]
    no_speech: float
    complete: bool

    @property
    def text(self) -> str:
        """The best reading."""
        return self.said(0)

    def said(self, index: int) -> str:
        """A reading."""
        return str(self.tokenizer.decode(self.tokens[index])).strip()

    @property
    def is_noise(self) -> bool:
        """Whether nobody seems to have spoken."""
        best = self.logprobs[0]
        return not self.text or best < _NOISE_LOGPROB or (best < _DOUBTFUL_LOGPROB and self.no_speech > _NO_SPEECH)


class Whisper:
    """The model with its weights."""

    def __init__(
        self, weights: Path, *, device: str, compute_type: str, threads: int, languages: Sequence[str]
    ) -> None:
        """languages: those it may find; none for all that it knows."""
        self._model = WhisperModel(
            str(weights), device=device, compute_type=compute_type, cpu_threads=threads, local_files_only=True
        )
        self.languages = frozenset(self._model.supported_languages) & (
            frozenset(languages) or frozenset(self._model.supported_languages)
        )

    def transcribe(self, audio: NDArray[np.float32], wishes: Wishes) -> dict[str, Any]:
        """audio: float32[T], 16 kHz mono, at most 30 s -> a Transcript of the speech service."""
        seconds = len(audio) / SAMPLE_RATE_HERTZ
        given = {wishes.language: 1.0} if wishes.language else {}
        if not len(audio) or np.abs(audio).max() < _SILENCE:
            return _transcript(given, seconds, [])
        encoded = self._encode(audio, seconds + _MARGIN_SECONDS)
        languages = given or self._find_languages(encoded)
        if not wishes.quick and max(languages.values()) < _SURE_OF_LANGUAGE:
            # In its usual context the model knows languages better.
            languages = self._find_languages(self._encode(audio, MAX_SECONDS))
        language = max(languages, key=lambda each: languages[each])
        reading = self._read(encoded, seconds, language, wishes)
        if not wishes.quick and (not reading.complete or _loops(reading.tokens[0], often=2)):
            encoded = self._encode(audio, MAX_SECONDS)
            reading = self._read(encoded, seconds, language, wishes)
        if reading.is_noise or self._is_invented(reading, seconds, language, wishes):
            return _transcript(given, seconds, [])
        return _transcript(languages, seconds, self._segments(reading, audio, wishes))

    def _encode(self, audio: NDArray[np.float32], seconds: float) -> Any:
        """The piece, with silence up to so many seconds, as the decoder looks at it."""
        frames = int(min(seconds, MAX_SECONDS) * _FRAMES_PER_SECOND) // 2 * 2
        hop = SAMPLE_RATE_HERTZ // _FRAMES_PER_SECOND
        padded = np.pad(audio, (0, max(0, frames * hop - len(audio))))
        features = self._model.feature_extractor(padded, padding=0)[:, :frames]
        return self._model.encode(features)

    def _find_languages(self, encoded: Any) -> dict[str, float]:
        """The likeliest languages that are known to be understood, with their shares."""
        if not self._model.model.is_multilingual:
            return {"en": 1.0}
        found = ((token[2:-2], probability) for token, probability in self._model.model.detect_language(encoded)[0])
        known = [(language, probability) for language, probability in found if language in self.languages]
        total = sum(probability for _, probability in known) or 1.0
        return {language: probability / total for language, probability in known[:3]}

    def _read(self, encoded: Any, seconds: float, language: str, wishes: Wishes, *, plainly: bool = False) -> Reading:
        """plainly: without hints and context."""
        model = self._model.model
        tokenizer = Tokenizer(self._model.hf_tokenizer, model.is_multilingual, task="transcribe", language=language)
        before = [] if plainly else _before(tokenizer, language, wishes)
        prompt = [*before, *tokenizer.sot_sequence, tokenizer.no_timestamps]
        limit = int(_TOKENS + _TOKENS_PER_SECOND * seconds)
        beam = 1 if wishes.quick else max(_BEAM, 2 * wishes.alternatives)
        result = model.generate(
            encoded,
            [prompt],
            beam_size=beam,
            num_hypotheses=1 if wishes.quick else 1 + wishes.alternatives,
            max_length=min(self._model.max_length, len(prompt) + limit),
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=[-1],
        )[0]
        tokens = [[token for token in each if token < tokenizer.eot] for each in result.sequences_ids]
        # A score is the mean over the tokens without the one that ends the text.
        logprobs = [
            score * len(each) / (len(each) + 1) for score, each in zip(result.scores, result.sequences_ids, strict=True)
        ]
        complete = len(tokens[0]) < limit
        frames = int(seconds * _FRAMES_PER_SECOND)
        if not complete or wishes.quick:
            tokens[0] = _straightened(tokens[0])
        return Reading(encoded, frames, tokenizer, tokens, logprobs, float(result.no_speech_prob), complete)

    def _is_invented(self, reading: Reading, seconds: float, language: str, wishes: Wishes) -> bool:
        """Whether the text comes from what the model read before and not from the sound, which is noise without it."""
        before = " ".join([*wishes.hints, wishes.context, _CONTEXTS.get(language, "")]).casefold()
        if not before.strip():
            return False
        words = re.findall(r"\w+", reading.text.casefold())
        repeated = sum(word in before for word in words) >= len(words) / 2
        if not repeated and reading.logprobs[0] >= _DOUBTFUL_LOGPROB:
            return False
        return self._read(reading.encoded, seconds, language, wishes, plainly=True).is_noise

    def _segments(self, reading: Reading, audio: NDArray[np.float32], wishes: Wishes) -> list[dict[str, Any]]:
        seconds = len(audio) / SAMPLE_RATE_HERTZ
        confidence = math.exp(min(0.0, reading.logprobs[0]))
        others = [
            {"text": text, "confidence": round(math.exp(min(0.0, reading.logprobs[index])), 4)}
            for index, text in _distinct([reading.said(index) for index in range(len(reading.tokens))])
        ]
        begin, end = _audible(audio)
        whole = {"text": reading.text, "start": begin, "end": end, "confidence": round(confidence, 4)}
        several = len(re.findall(r"[.!?。！？…]", reading.text)) > 1 and not wishes.quick
        if not wishes.word_times and (not several or wishes.alternatives):
            return [{**whole, "words": [], "alternatives": others}]
        words = self._words(reading, seconds)
        if not words:
            return [{**whole, "words": [], "alternatives": others}]
        sentences = [words] if wishes.alternatives else _sentences(words)
        return [
            {
                "text": "".join(word["word"] for word in sentence).strip(),
                "start": sentence[0]["start"],
                "end": sentence[-1]["end"],
                "confidence": _mean(sentence) if len(sentences) > 1 else round(confidence, 4),
                "words": [
                    {**{name: word[name] for name in ("start", "end", "confidence")}, "word": word["word"].strip()}
                    for word in sentence
                    if wishes.word_times
                ],
                "alternatives": others,
            }
            for sentence in sentences
        ]

    def _words(self, reading: Reading, seconds: float) -> list[dict[str, Any]]:
        """Its words with times from the cross-attention, in order and within the piece."""
        [found] = self._model.find_alignment(
            reading.tokenizer, [reading.tokens[0]], reading.encoded, reading.frames
        ) or [[]]
        merge_punctuations(found, "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、")
        spoken = [word for word in found if word["word"].strip()]
        lengths = [word["end"] - word["start"] for word in spoken if word["end"] > word["start"]]
        # Attention begins early after a pause, and lasts into the next one.
        longest = 2 * min(0.7, float(np.median(lengths))) if lengths else seconds
        words, last = [], 0.0
        for index, word in enumerate(spoken):
            start, end = float(word["start"]), min(float(word["end"]), seconds)
            after_pause = not index or _SENTENCE_END.search(spoken[index - 1]["word"])
            if end - start > longest:
                if after_pause:
                    start = end - longest
                elif index + 1 == len(spoken) or _SENTENCE_END.search(word["word"]):
                    end = start + longest
            start = min(max(start, last), seconds)
            last = end = max(start, end)
            words.append(
                {
                    "word": word["word"],
                    "start": round(start, 3),
                    "end": round(end, 3),
                    "confidence": round(float(word["probability"]), 4),
                    "tokens": len(word["tokens"]),
                }
            )
        return words


def _before(tokenizer: Tokenizer, language: str, wishes: Wishes) -> list[int]:
    """What the decoder reads before: hints as a list, then what was said, of which the end counts."""
    context = wishes.context or _CONTEXTS.get(language, "")
    hints = tokenizer.encode(" " + ", ".join(wishes.hints) + ".")[:_PROMPT_TOKENS] if wishes.hints else []
    room = _PROMPT_TOKENS - len(hints)
    said = tokenizer.encode(" " + context)[-room:] if context and room else []
    return [tokenizer.sot_prev, *hints, *said] if hints or said else []


def _straightened(tokens: list[int]) -> list[int]:
    """Without what the end repeats. A word or two may well be said three times, more than that not even twice."""
    repeated = _loops(tokens, often=4, shortest=1) or _loops(tokens, often=2, shortest=3)
    return tokens[:-repeated] if repeated else tokens


def _loops(tokens: Sequence[int], *, often: int, shortest: int = 2) -> int:
    """How many tokens at the end only repeat those before, if they come at least so often in all; otherwise 0.

    shortest: what is repeated has so many tokens, at least. The last time may be cut short.
    """
    for unit in range(shortest, len(tokens) // often + 1):
        same = 0
        while same + unit < len(tokens) and tokens[-1 - same] == tokens[-1 - same - unit]:
            same += 1
        if same >= unit * (often - 1):
            return same
    return 0


def _distinct(texts: Sequence[str]) -> list[tuple[int, str]]:
    """The readings, but for the first, that differ from those before by more than case and punctuation."""
    seen: set[str] = set()
    others = []
    for index, text in enumerate(texts):
        letters = "".join(re.findall(r"\w+", text.casefold()))
        if index and letters and letters not in seen:
            others.append((index, text))
        seen.add(letters)
    return others


def _audible(audio: NDArray[np.float32]) -> tuple[float, float]:
    """When the sound begins and ends, in seconds: the first and last hundredth not far below the loudest."""
    hop = SAMPLE_RATE_HERTZ // _FRAMES_PER_SECOND
    levels = np.sqrt(np.square(np.resize(np.pad(audio, (0, -len(audio) % hop)), (-(-len(audio) // hop), hop))).mean(1))
    loud = np.flatnonzero(levels >= 0.1 * np.quantile(levels, 0.95))
    begin, end = (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, len(levels))
    return begin / _FRAMES_PER_SECOND, min(end / _FRAMES_PER_SECOND, round(len(audio) / SAMPLE_RATE_HERTZ, 3))


def _sentences(words: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Words by sentence."""
    sentences: list[list[dict[str, Any]]] = [[]]
    for word in words:
        sentences[-1].append(word)
        if _SENTENCE_END.search(word["word"]) and not _ABBREVIATION.search(word["word"]):
            sentences.append([])
    return [sentence for sentence in sentences if sentence]


def _mean(words: Sequence[Mapping[str, Any]]) -> float:
    """Geometric mean of the probabilities of the tokens of these words."""
    logs = [word["tokens"] * math.log(max(word["confidence"], 1e-6)) for word in words]
    return round(math.exp(sum(logs) / max(1, sum(word["tokens"] for word in words))), 4)


def _transcript(languages: Mapping[str, float], seconds: float, segments: list[dict[str, Any]]) -> dict[str, Any]:
    language = max(languages, key=lambda each: languages[each], default="")
    return {
        "language": language,
        "language_probability": round(languages.get(language, 0.0), 4),
        "language_probabilities": {each: round(share, 4) for each, share in languages.items()},
        "duration": round(seconds, 3),
        "segments": segments,
    }
