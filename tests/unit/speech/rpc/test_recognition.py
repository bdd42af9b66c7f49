"""Recognize and GetSpeechConfig through the public stub, with a fake model behind them."""

import json
from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest

from maas.speech.v1 import speech_pb2 as pb
from maas.speech.v1 import speech_pb2_grpc, transcript_pb2
from maas.type.v1 import media_pb2
from services.mesh.models import ModelCard
from services.mesh.server import Servicer
from services.mesh.testing import FakeInference, FakePreprocessor, known_models, serve
from services.speech.pipelines.recognition.recordings import RecordingRecognizer
from services.speech.pipelines.recognition.transcriber import Transcriber
from services.speech.pipelines.schedule import Schedule
from services.speech.rpc.recognition import RecognitionRpcs
from tests.failure import failure

EAR = ModelCard(name="ear", task="speech-recognition", summary="Hears.", languages=("en", "zh"))
# A second of what counts as speech.
AUDIO = media_pb2.Audio(content=np.full(16000, 0.1, np.float32).tobytes())
HEARD = {
    "language": "en",
    "language_probability": 0.9,
    "duration": 1.0,
    "segments": [
        {
            "text": "Hello there.",
            "start": 0.5,
            "end": 0.75,
            "confidence": 0.8,
            "words": [
                {"word": "Hello", "start": 0.5, "end": 0.6, "confidence": 0.7},
                {"word": "there.", "start": 0.6, "end": 0.75, "confidence": 0.6},
            ],
            "alternatives": [{"text": "Hello dear.", "confidence": 0.3}],
        },
        {"text": "Goodbye.", "start": 0.8, "end": 1.0, "confidence": 0.6},
    ],
}


class Rpcs(RecognitionRpcs):
    """The RPCs alone."""

    def __init__(self, models, preprocessor, recordings) -> None:
        self._models = models
        self._preprocessor = preprocessor
        self._recordings = recordings


@asynccontextmanager
async def ear(inference=None):
    """A stub, and the fake that it ends at, unless another one is given."""
    inference = inference or FakeInference(lambda *_: {"result": np.array([json.dumps(HEARD).encode()], dtype=object)})
    preprocessor, models = FakePreprocessor(), await known_models(EAR)
    rpcs = Rpcs(models, preprocessor, RecordingRecognizer(Transcriber(inference), preprocessor, Schedule(1)))
    add = speech_pb2_grpc.add_SpeechServiceServicer_to_server
    async with serve(Servicer("maas.speech.v1.SpeechService", add, rpcs, models.ready)) as channel:
        yield speech_pb2_grpc.SpeechServiceStub(channel), inference


async def test_a_transcript_has_segments_words_and_times():
    """The whole text, and each piece with when it was said and how else it may be read."""
    async with ear() as (stub, _):
        response = await stub.Recognize(
            pb.RecognizeRequest(audio=AUDIO, enable_word_time_offsets=True, max_alternatives=1)
        )
    assert response.transcript == "Hello there. Goodbye."
    assert response.segments[0].words[0].end_offset.ToMilliseconds() == 600
    assert response.segments[0].alternatives[0].transcript == "Hello dear."
    assert response.segments[1].start_offset.ToMilliseconds() == 800
    assert response.duration.ToMilliseconds() == 1000
    assert (response.language_code, response.model) == ("en", "ear")
    assert response.language_confidence == pytest.approx(0.9)


async def test_the_model_is_told_what_is_wanted():
    """A language goes without its region; captions need word times, which then stay out of the answer."""
    async with ear() as (stub, inference):
        response = await stub.Recognize(
            pb.RecognizeRequest(
                audio=AUDIO,
                language_code="zh-CN",
                phrase_hints=["Dashwood"],
                caption_format=transcript_pb2.CAPTION_FORMAT_VTT,
            )
        )
    options = json.loads(inference.calls[0][1]["options"][0])
    assert (options["language"], options["word_times"], options["hints"]) == ("zh", True, ["Dashwood"])
    assert response.captions.startswith("WEBVTT\n\n1\n00:00:00.500 --> 00:00:00.800\nHello there.\n")
    assert not response.segments[0].words
    assert (response.language_code, response.language_confidence) == ("zh", 1)


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"audio": None}, grpc.StatusCode.INVALID_ARGUMENT, "audio.content"),
        ({"language_code": "xx"}, grpc.StatusCode.INVALID_ARGUMENT, "language_code"),
        ({"max_alternatives": 5}, grpc.StatusCode.INVALID_ARGUMENT, "max_alternatives"),
        ({"max_alternatives": -1}, grpc.StatusCode.INVALID_ARGUMENT, "max_alternatives"),
        ({"caption_format": 9}, grpc.StatusCode.INVALID_ARGUMENT, "caption_format"),
        ({"phrase_hints": ["a", ""]}, grpc.StatusCode.INVALID_ARGUMENT, "phrase_hints[1]"),
        ({"request_id": "1"}, grpc.StatusCode.INVALID_ARGUMENT, "request_id"),
        ({"model": "nose"}, grpc.StatusCode.NOT_FOUND, ""),
    ],
)
async def test_bad_requests_name_what_is_wrong(fields, code, field):
    """Each is told before anything is decoded or read."""
    async with ear() as (stub, inference):
        found, _, bad, _ = await failure(stub.Recognize(pb.RecognizeRequest(**{"audio": AUDIO, **fields})))
    assert found is code
    assert [each.field for each in bad.field_violations] == ([field] if field else [])
    assert inference.calls == []


async def test_the_models_are_listed():
    """GetSpeechConfig has what Recognize picks from."""
    async with ear() as (stub, _):
        config = await stub.GetSpeechConfig(pb.GetSpeechConfigRequest())
    assert [model.name for model in config.models] == ["ear"]
