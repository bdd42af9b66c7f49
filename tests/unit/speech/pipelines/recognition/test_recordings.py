"""Whole recordings, with a fake model that tells how loud a piece is."""

import json

import numpy as np
import pytest

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.testing import FakeInference, FakePreprocessor
from services.speech.pipelines.recognition.recordings import RecordingRecognizer, Wishes
from services.speech.pipelines.recognition.transcriber import Segment, Transcriber, joined
from services.speech.pipelines.schedule import Schedule

CARD = ModelCard(name="ear", task="speech-recognition", summary="Hears.", languages=("en", "cy"))
RATE = 16000


def talk(seconds: float, loudness: float):
    """A sound of one value; the model reads it as that many hundredths."""
    return np.full(round(seconds * RATE), loudness, np.float32)


def silence(seconds: float):
    """Nothing."""
    return np.zeros(round(seconds * RATE), np.float32)


def ear(shares):
    """A model. shares: of the languages of a piece, by its loudness in hundredths."""

    def answer(_, inputs):
        options = json.loads(inputs["options"][0])
        samples = inputs["audio"]
        assert len(samples) <= 30 * RATE
        loud = round(float(samples.max()) * 100)
        found = {options["language"]: 1.0} if options["language"] else shares[loud]
        language = max(found, key=found.get)
        begin = float(np.argmax(samples > 0)) / RATE
        segment = {"text": f"{language} {loud}.", "start": begin, "end": len(samples) / RATE, "confidence": 0.9}
        result = {
            "language": language,
            "language_probability": found[language],
            "language_probabilities": found,
            "duration": len(samples) / RATE,
            "segments": [segment],
        }
        return {"result": np.array([json.dumps(result).encode()], object)}

    return FakeInference(answer)


async def recognize(inference, *sounds, **wishes):
    """What a recording of these sounds says."""
    recognizer = RecordingRecognizer(Transcriber(inference), FakePreprocessor(), Schedule(1))
    content = np.concatenate(sounds).tobytes()
    return await recognizer.recognize(
        content, Wishes(CARD, **wishes), field="audio.content", deadline=Deadline.after(60)
    )


async def test_pieces_are_read_in_order_with_times_of_the_recording():
    """Each piece's times are moved to where it lies; silence is not read."""
    inference = ear({})
    found = await recognize(inference, silence(40), talk(3, 0.1), silence(60), talk(2, 0.2), language="en")
    assert found.text == "en 10. en 20."
    assert [segment.start for segment in found.segments] == pytest.approx([40, 103], abs=0.05)
    assert found.duration == pytest.approx(105)
    assert (found.language, found.language_probability) == ("en", 1)
    assert sum(len(inputs["audio"]) for _, inputs, _ in inference.calls) < 8 * RATE


async def test_no_speech_is_no_transcript_and_no_language():
    """Nothing is asked of the model; a language that was given stays."""
    inference = ear({})
    found = await recognize(inference, silence(30))
    assert (found.text, found.language, found.language_probability, found.duration) == ("", "", 0, 30)
    assert (await recognize(inference, silence(3), language="cy")).language == "cy"
    assert inference.calls == []


async def test_a_sure_language_is_kept():
    """After the first piece that leaves no doubt, the model is told the language."""
    inference = ear({10: {"en": 0.95, "cy": 0.05}})
    found = await recognize(inference, talk(3, 0.1), silence(3), talk(3, 0.2))
    assert (found.text, found.language) == ("en 10. en 20.", "en")
    assert found.language_probability == pytest.approx(0.95)


async def test_an_unsure_language_is_voted_on():
    """Unsure pieces are added up, and one that was read in another language is read again."""
    inference = ear({10: {"cy": 0.6, "en": 0.4}, 20: {"en": 0.7, "cy": 0.2}, 30: {"en": 0.7, "cy": 0.3}})
    sounds = [part for loudness in (0.1, 0.2, 0.3, 0.4) for part in (talk(3, loudness), silence(3))]
    found = await recognize(inference, *sounds)
    assert (found.text, found.language) == ("en 10. en 20. en 30. en 40.", "en")
    assert found.language_probability == pytest.approx(0.6, abs=0.01)
    assert len(inference.calls) == 5


async def test_wishes_reach_the_model():
    """Hints, word times and alternatives go with each piece."""
    inference = ear({})
    await recognize(inference, talk(2, 0.1), language="en", word_times=True, hints=("Dashwood",), alternatives=2)
    options = json.loads(inference.calls[0][1]["options"][0])
    assert (options["hints"], options["word_times"], options["alternatives"], options["quick"]) == (
        ["Dashwood"], True, 2, False,
    )  # fmt: skip


async def test_a_recording_may_be_too_long(monkeypatch):
    """The error names the field and the limit."""
    monkeypatch.setattr("services.speech.pipelines.recognition.recordings.MAX_SECONDS", 7200.0 / 3600)
    with pytest.raises(errors.InvalidArgument, match=r"audio\.content.*hours"):
        await recognize(ear({}), silence(3))


def test_texts_are_joined_as_they_are_written():
    """Chinese has no spaces between sentences; Korean and what is mixed have."""
    assert joined(["你好。", "世界。"]) == "你好。世界。"
    assert joined(["안녕.", "세계.", "", "Hi."]) == "안녕. 세계. Hi."


def test_a_segment_moves_with_its_words():
    """Times of words are moved too."""
    words = [{"word": "a", "start": 1, "end": 2, "confidence": 1}]
    moved = Segment(text="a", start=1, end=2, confidence=1, words=words).later(10)
    assert (moved.start, moved.end, moved.words[0].start, moved.words[0].end) == (11, 12, 11, 12)
