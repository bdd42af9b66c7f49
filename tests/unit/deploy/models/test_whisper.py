"""What the code around Whisper does: short contexts, loops, noise, languages, hints, words and sentences."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

pytest.importorskip("faster_whisper")
from deploy.triton import whisper
from deploy.triton.whisper import Whisper, Wishes

RATE = 16000
EOT = 10_000
SPEECH = np.full(2 * RATE, 0.1, np.float32)


class Tokens:
    """A token a word; the words are numbered as they come."""

    eot, sot_prev, no_timestamps, sot_sequence = EOT, EOT + 1, EOT + 2, [EOT + 3]
    words: ClassVar[list[str]] = []

    def __init__(self, *_: Any, language: str, **__: Any) -> None:
        self.language = language

    @classmethod
    def encode(cls, text: str) -> list[int]:
        """The numbers of its words."""
        for word in text.split():
            if word not in cls.words:
                cls.words.append(word)
        return [cls.words.index(word) for word in text.split()]

    @classmethod
    def decode(cls, tokens: Sequence[int]) -> str:
        """The words."""
        return " ".join(cls.words[token] for token in tokens)


class FakeModel:
    """Hears what `says` answers for the frames that it is given and what it reads before."""

    supported_languages = ("en", "zh", "cy")
    max_length = 448
    hf_tokenizer = None
    is_multilingual = True

    def __init__(self, *_: Any, **__: Any) -> None:
        self.model = self
        self.calls: list[SimpleNamespace] = []
        self.says: Callable[[int, str], Any] = lambda _frames, _before: "Hello there."
        self.no_speech = 0.1
        self.languages = [("<|cy|>", 0.5), ("<|en|>", 0.4), ("<|zh|>", 0.1)]

    @staticmethod
    def feature_extractor(samples: Any, padding: int) -> Any:
        """A frame each ten milliseconds."""
        assert padding == 0
        return np.zeros((80, len(samples) // 160), np.float32)

    @staticmethod
    def encode(features: Any) -> int:
        """How many frames there are."""
        return int(features.shape[1])

    def detect_language(self, _: int) -> Any:
        """The same for every sound."""
        return [self.languages]

    def generate(self, frames: int, prompts: Any, **options: Any) -> Any:
        """One or more readings, with their scores."""
        [prompt] = prompts
        before = Tokens.decode([token for token in prompt if token < EOT])
        self.calls.append(SimpleNamespace(frames=frames, before=before, **options))
        said = self.says(frames, before)
        texts = [(said, -0.2)] if isinstance(said, str) else said
        room = options["max_length"] - len(prompt)
        return [
            SimpleNamespace(
                sequences_ids=[Tokens.encode(text)[:room] for text, _ in texts],
                scores=[score for _, score in texts],
                no_speech_prob=self.no_speech,
            )
        ]

    @staticmethod
    def find_alignment(_: Tokens, texts: Any, __: int, ___: int) -> Any:
        """Three words a second, the first one from the very beginning on."""
        return [
            [
                {
                    "word": " " + Tokens.words[token],
                    "tokens": [token],
                    "start": begin,
                    "end": begin + 0.3,
                    "probability": 0.5,
                }
                for begin, token in zip(np.arange(100) * 0.3 + (np.arange(100) > 0) * 2.7, tokens, strict=False)
            ]
            for tokens in texts
        ]


@pytest.fixture
def ear(monkeypatch, tmp_path):
    """The code on a fake model."""
    monkeypatch.setattr(whisper, "WhisperModel", FakeModel)
    monkeypatch.setattr(whisper, "Tokenizer", Tokens)
    made = Whisper(tmp_path, device="cpu", compute_type="int8", threads=1, languages=["en", "zh"])
    return made, made._model


def texts(result):
    """Of its segments."""
    return [segment["text"] for segment in result["segments"]]


def test_the_encoder_gets_the_piece_and_two_seconds(ear):
    """Its work depends on the length of the piece, and never goes beyond thirty seconds."""
    made, model = ear
    for seconds in (2, 29.5):
        made.transcribe(np.full(int(seconds * RATE), 0.1, np.float32), Wishes("en"))
    assert [call.frames for call in model.calls] == [400, 3000]


@pytest.mark.parametrize("said", ["ten of clubs ten of clubs", "go " * 50, "five five five five"])
def test_a_reading_that_goes_round_is_done_again_in_full(ear, said):
    """What repeats itself, or has no end, is read with all thirty seconds, and that counts."""
    made, model = ear
    model.says = lambda frames, _: said if frames < 3000 else "Five, five."
    assert texts(made.transcribe(SPEECH, Wishes("en"))) == ["Five, five."]
    assert [call.frames for call in model.calls] == [400, 3000]


def test_a_loop_that_stays_is_cut(ear):
    """Not more than once is written what the model does not stop saying."""
    made, model = ear
    model.says = lambda *_: "so we went " + "home again now " * 30
    assert texts(made.transcribe(SPEECH, Wishes("en"))) == ["so we went home again now"]


def test_quick_readings_are_greedy_and_never_done_again(ear):
    """A loop is cut; no beams, no second reading."""
    made, model = ear
    model.says = lambda *_: "ten of clubs ten of clubs ten"
    assert texts(made.transcribe(SPEECH, Wishes("en", quick=True))) == ["ten of clubs"]
    assert [call.beam_size for call in model.calls] == [1]


@pytest.mark.parametrize(
    ("score", "no_speech", "heard"), [(-0.2, 0.9, True), (-1.2, 0.1, True), (-1.2, 0.9, False), (-1.9, 0.1, False)]
)
def test_noise_says_nothing(ear, score, no_speech, heard):
    """A reading that is improbable, or doubtful where the model hears no speech, is none and has no language."""
    made, model = ear
    model.says = lambda *_: [("Thank you.", score)]
    model.no_speech = no_speech
    result = made.transcribe(SPEECH, Wishes())
    assert texts(result) == (["Thank you."] if heard else [])
    assert result["language"] == ("en" if heard else "")


@pytest.mark.parametrize("samples", [0, RATE])
def test_silence_is_not_read(ear, samples):
    """No sound at all takes no time."""
    made, model = ear
    assert made.transcribe(np.zeros(samples, np.float32), Wishes("en"))["segments"] == []
    assert model.calls == []


def test_hinted_words_are_not_found_in_noise(ear):
    """A reading that only says what was hinted is read again without hints; if that is noise, nobody spoke."""
    made, model = ear
    model.says = lambda _, before: "Dashwood" if before else [("um", -3.0)]
    assert texts(made.transcribe(SPEECH, Wishes("en", hints=["Dashwood"]))) == []
    model.says = lambda _, before: "Dashwood" if before else "Dash would"
    assert texts(made.transcribe(SPEECH, Wishes("en", hints=["Dashwood"]))) == ["Dashwood"]


def test_hints_stand_before_the_context(ear):
    """Both are read before, hints first; Chinese has a sentence in simplified characters if there is no context."""
    made, model = ear
    made.transcribe(SPEECH, Wishes("en", hints=["John Dashwood", "Norland"], context="He left."))
    made.transcribe(SPEECH, Wishes("zh"))
    assert model.calls[0].before == "John Dashwood, Norland. He left."
    assert "普通话" in model.calls[1].before


def test_the_language_is_one_that_the_card_has(ear):
    """Languages that it was not made for share their part among the others."""
    made, _ = ear
    result = made.transcribe(SPEECH, Wishes())
    assert result["language"] == "en"
    assert result["language_probabilities"] == pytest.approx({"en": 0.8, "zh": 0.2})


def test_words_come_in_sentences_with_times(ear):
    """A sentence is a segment; a title is not its end; a first word that seems to last over a pause begins later."""
    made, model = ear
    model.says = lambda *_: "So he met Mr. Dashwood. Good."
    result = made.transcribe(np.full(10 * RATE, 0.1, np.float32), Wishes("en", word_times=True))
    assert texts(result) == ["So he met Mr. Dashwood.", "Good."]
    words = [word for segment in result["segments"] for word in segment["words"]]
    assert [word["word"] for word in words] == ["So", "he", "met", "Mr.", "Dashwood.", "Good."]
    times = [time for word in words for time in (word["start"], word["end"])]
    assert times == sorted(times)
    assert result["segments"][1]["confidence"] == pytest.approx(0.5)


def test_alternatives_differ_by_words(ear):
    """Readings that only differ in case and punctuation are none; with them a piece is one segment."""
    made, model = ear
    model.says = lambda *_: [("I see. Yes.", -0.1), ("I see yes", -0.2), ("Icy yes.", -0.3)]
    [segment] = made.transcribe(SPEECH, Wishes("en", alternatives=2))["segments"]
    assert segment["text"] == "I see. Yes."
    assert [each["text"] for each in segment["alternatives"]] == ["Icy yes."]
    assert model.calls[0].num_hypotheses == 3


@pytest.mark.parametrize(
    ("audio", "options", "complaint"),
    [
        (np.zeros(31 * RATE, np.float32), {}, "at most 30"),
        (np.float32([np.nan]), {}, "not numbers"),
        (SPEECH, {"language": "xx"}, "language"),
        (SPEECH, {"colour": "red"}, "options"),
        (SPEECH, [], "options"),
    ],
)
def test_bad_requests_are_refused(ear, pb_utils, audio, options, complaint):
    """Each in words for its caller."""
    model = _served(ear, pb_utils)
    [response] = model.execute([_request(audio, options)])
    assert complaint in response.error.message


def test_the_answer_is_json(ear, pb_utils):
    """A region in the language is passed over."""
    [response] = _served(ear, pb_utils).execute([_request(SPEECH, {"language": "en-GB", "word_times": False})])
    assert json.loads(response.outputs["result"][0])["segments"][0]["text"] == "Hello there."


def _served(ear, _):
    from deploy.triton.models.whisper import model  # noqa: PLC0415 - needs the stand-in

    made = model.TritonPythonModel()
    made._whisper = ear[0]
    return made


def _request(audio, options):
    inputs = {"audio": audio, "options": np.array([json.dumps(options).encode()], object)}
    return SimpleNamespace(inputs=inputs, requested_output_names=lambda: ["result"])
