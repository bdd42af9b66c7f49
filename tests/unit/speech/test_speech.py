"""The speech service over a real socket, with faked ports."""

import io
import json
import wave
from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest

from maas.speech.v1 import speech_pb2 as pb
from maas.speech.v1 import speech_pb2_grpc
from maas.type.v1 import media_pb2
from services.mesh.models import ModelCard
from services.mesh.testing import FakeInference, FakePreprocessor, known_models, serve
from services.speech.app import servicer

EAR = ModelCard(
    name="ear",
    task="speech-recognition",
    summary="Hears.",
    languages=("en", "zh"),
    preprocess={"sample_rate_hertz": 16000},
)
MOUTH = ModelCard(
    name="mouth",
    task="speech-synthesis",
    summary="Speaks.",
    languages=("en",),
    preprocess={"sample_rate_hertz": 24000, "voices": ["heart", "bell"]},
)
AUDIO = media_pb2.Audio(content=b"a recording")
HEARD = {
    "language": "en",
    "language_probability": 0.9,
    "duration": 2.5,
    "segments": [
        {
            "text": "Hello there.",
            "start": 0.5,
            "end": 1.25,
            "confidence": 0.8,
            "words": [{"word": "Hello", "start": 0.5, "end": 0.9, "confidence": 0.7}],
        },
        {"text": "Goodbye.", "start": 1.5, "end": 2.0, "confidence": 0.6, "words": []},
    ],
}


def answer(model, inputs):
    """What was heard; or a sound of three samples, one too loud."""
    if model == "ear":
        return {"result": np.array([json.dumps(HEARD).encode()], dtype=object)}
    return {"audio": np.float32([0, 0.5, -2])}


@asynccontextmanager
async def speech():
    inference = FakeInference(answer)
    async with serve(servicer(inference, FakePreprocessor(), await known_models(EAR, MOUTH))) as channel:
        yield speech_pb2_grpc.SpeechServiceStub(channel), inference


async def test_a_transcript_has_segments_words_and_times():
    """The whole text, and each piece with when it was said."""
    async with speech() as (stub, _):
        response = await stub.Recognize(pb.RecognizeRequest(audio=AUDIO, enable_word_time_offsets=True))
    assert response.transcript == "Hello there. Goodbye."
    assert response.segments[0].words[0].end_offset.ToMilliseconds() == 900
    assert response.segments[1].start_offset.ToMilliseconds() == 1500
    assert response.duration.ToMilliseconds() == 2500
    assert response.language_code == "en"


async def test_the_model_is_told_language_and_word_times():
    """A given language goes to the model without its region; none lets the model find out."""
    async with speech() as (stub, inference):
        await stub.Recognize(pb.RecognizeRequest(audio=AUDIO, language_code="zh-CN", enable_word_time_offsets=True))
        await stub.Recognize(pb.RecognizeRequest(audio=AUDIO))
    told = [(inputs["language"][0], bool(inputs["word_times"][0])) for _, inputs, _ in inference.calls]
    assert told == [(b"zh", True), (b"", False)]


async def test_speech_comes_as_a_wav_file():
    """The default encoding is a WAV file of 16-bit samples; what is too loud is cut, not wrapped round."""
    async with speech() as (stub, _):
        response = await stub.SynthesizeSpeech(pb.SynthesizeSpeechRequest(text="Hi"))
    with wave.open(io.BytesIO(response.audio_content)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24000, 1, 2)
        samples = np.frombuffer(file.readframes(10), "<i2")
    np.testing.assert_array_equal(samples, [0, 16383, -32767])
    assert response.voice == "heart"


async def test_raw_samples_have_no_header():
    """LINEAR16 is the samples alone."""
    async with speech() as (stub, _):
        response = await stub.SynthesizeSpeech(
            pb.SynthesizeSpeechRequest(text="Hi", audio_encoding=pb.AUDIO_ENCODING_LINEAR16, voice="bell")
        )
    assert len(response.audio_content) == 6
    assert response.voice == "bell"


@pytest.mark.parametrize(
    ("fields", "code", "word"),
    [
        ({"text": ""}, grpc.StatusCode.INVALID_ARGUMENT, "text"),
        ({"text": "  "}, grpc.StatusCode.INVALID_ARGUMENT, "text"),
        ({"text": "x" * 2001}, grpc.StatusCode.INVALID_ARGUMENT, "text"),
        ({"text": "x", "speaking_rate": 3}, grpc.StatusCode.INVALID_ARGUMENT, "speaking_rate"),
        ({"text": "x", "speaking_rate": float("nan")}, grpc.StatusCode.INVALID_ARGUMENT, "speaking_rate"),
        ({"text": "x", "voice": "nope"}, grpc.StatusCode.NOT_FOUND, "bell, heart"),
        ({"text": "x", "language_code": "fr"}, grpc.StatusCode.INVALID_ARGUMENT, "language_code"),
    ],
)
async def test_bad_requests_name_what_is_wrong(fields, code, word):
    """Each limit has an error that names the field, or the voices that exist."""
    async with speech() as (stub, inference):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.SynthesizeSpeech(pb.SynthesizeSpeechRequest(**fields))
    assert caught.value.code() is code
    assert word in caught.value.details()
    assert inference.calls == []
