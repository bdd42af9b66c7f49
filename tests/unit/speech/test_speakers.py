"""EmbedSpeaker and VerifySpeaker over a real socket, with faked ports and small models."""

from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest

from maas.speech.v1 import speaker_pb2 as pb
from maas.speech.v1 import speech_pb2_grpc
from maas.type.v1 import media_pb2
from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.durations import to_seconds
from services.mesh.models import ModelCard, Models
from services.mesh.ports import Preprocessor, Sound
from services.mesh.server import Servicer
from services.mesh.testing import FakeInference, FakePreprocessor, known_models, serve
from services.speech.pipelines.speakers.encoder import SpeakerEncoder, only_speech
from services.speech.rpc.speakers import SpeakerRpcs
from tests.failure import failure

VOICES = ModelCard(
    name="voices",
    task="speaker-embedding",
    summary="Compares.",
    default=True,
    preprocess={"sample_rate_hertz": 16000, "max_seconds": 30},
    postprocess={"threshold": 0.75},
)
UNMEASURED = VOICES.model_copy(update={"name": "unmeasured", "default": False, "postprocess": {}})
REQUEST_ID = "8f14e45f-ceea-467f-a0e6-2ad52f0e1b1c"
WINDOW = 512
# What FakePreprocessor takes for speech begins at .01; the model below hears who it is by the loudness.
ANNA, BERTA = 0.6, 0.05


class OnlySpeakers(SpeakerRpcs):
    """The mixin by itself."""

    def __init__(self, models: Models, preprocessor: Preprocessor, speakers: SpeakerEncoder) -> None:
        self._models, self._preprocessor, self._speakers = models, preprocessor, speakers


class Decoder(FakePreprocessor):
    """Takes the content of a recording for its samples."""

    async def convert_audio(self, content: bytes, *, sample_rate_hertz: int, deadline: Deadline) -> Sound:
        """Without a look at the rate."""
        await super().convert_audio(content, sample_rate_hertz=sample_rate_hertz, deadline=deadline)
        return Sound(np.frombuffer(content, np.float32), sample_rate_hertz, 1.0)


def recording(*parts) -> media_pb2.Audio:
    """(loudness, windows of 32 ms) one after the other."""
    samples = np.concatenate([np.full(windows * WINDOW, loudness, np.float32) for loudness, windows in parts])
    return media_pb2.Audio(content=samples.tobytes())


def answer(model, inputs):
    """A voice in the plane, turned by the loudness."""
    angle = float(np.median(inputs["audio"]))
    return {"embedding": np.float32([np.cos(angle * np.pi / 2), np.sin(angle * np.pi / 2)])}


@asynccontextmanager
async def speakers(*cards, error=None):
    inference, preprocessor = FakeInference(answer), Decoder(error)
    models = await known_models(*(cards or (VOICES, UNMEASURED)), optional_tasks=["speaker-embedding"])
    servicer = OnlySpeakers(models, preprocessor, SpeakerEncoder(inference, preprocessor))
    add = speech_pb2_grpc.add_SpeechServiceServicer_to_server
    async with serve(Servicer("maas.speech.v1.SpeechService", add, servicer)) as channel:
        yield speech_pb2_grpc.SpeechServiceStub(channel), inference


async def test_a_voice_as_a_vector():
    """The vector has length 1, and the answer tells how much speech it was made of, by which model."""
    async with speakers() as (stub, _):
        request = pb.EmbedSpeakerRequest(audio=recording((0, 50), (ANNA, 100), (0, 50)), request_id=REQUEST_ID)
        response = await stub.EmbedSpeaker(request)
    np.testing.assert_allclose(response.embedding, answer("", {"audio": np.float32([ANNA])})["embedding"], atol=1e-6)
    assert to_seconds(response.speech_duration) == pytest.approx(3.2)
    assert (response.model, response.request_id) == ("voices", REQUEST_ID)


async def test_only_speech_is_heard():
    """Silence is left out but for a tenth of a second around speech, so that short pauses stay."""
    audio = recording((0, 50), (ANNA, 40), (0, 5), (ANNA, 40), (0, 50), (ANNA, 10), (0, 2))
    async with speakers() as (stub, inference):
        await stub.EmbedSpeaker(pb.EmbedSpeakerRequest(audio=audio))
    ((_, inputs, _),) = inference.calls
    assert len(inputs["audio"]) == (3 + 40 + 5 + 40 + 3 + 3 + 10 + 2) * WINDOW


@pytest.mark.parametrize("more", [-100, 0, 100])
def test_the_last_window_may_be_short(more):
    """Its samples count when it was measured, and samples that were not measured do not."""
    samples = np.arange(100 * WINDOW + more, dtype=np.float32)
    speech = only_speech(samples, np.ones(100, np.bool_))
    np.testing.assert_array_equal(speech, samples[: 100 * WINDOW])


async def test_long_speech_goes_in_parts():
    """More than the model takes at once is parted evenly, and the vectors are meant to one of length 1."""
    card = VOICES.model_copy(update={"preprocess": {"max_seconds": 1}})
    async with speakers(card) as (stub, inference):
        response = await stub.EmbedSpeaker(pb.EmbedSpeakerRequest(audio=recording((ANNA, 50), (BERTA, 50))))
    assert [len(inputs["audio"]) for _, inputs, _ in inference.calls] == [12_800] * 4
    assert np.linalg.norm(response.embedding) == pytest.approx(1)
    middle = answer("", {"audio": np.float32([(ANNA + BERTA) / 2])})["embedding"]
    np.testing.assert_allclose(response.embedding, middle, atol=1e-6)


async def test_too_little_speech():
    """Less than a second of it is refused, whatever else the recording holds, and the error names the recording."""
    async with speakers() as (stub, inference):
        request = pb.EmbedSpeakerRequest(audio=recording((0, 100), (ANNA, 30), (0, 100)))
        code, info, _, _ = await failure(stub.EmbedSpeaker(request))
        assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TOO_LITTLE_SPEECH")
        assert dict(info.metadata) == {"field": "audio.content", "speech_seconds": "0.96"}
        other = pb.VerifySpeakerRequest(audio=recording((ANNA, 100)), other_audio=recording((0, 9)))
        code, info, _, _ = await failure(stub.VerifySpeaker(other))
        assert (code, info.metadata["field"]) == (grpc.StatusCode.FAILED_PRECONDITION, "other_audio.content")
    assert all(len(inputs["audio"]) == 100 * WINDOW for _, inputs, _ in inference.calls)


@pytest.mark.parametrize(("other", "same"), [(ANNA, True), (BERTA, False)])
async def test_two_recordings_are_compared(other, same):
    """One voice reaches the model's threshold and another does not; the shorter recording's speech is told."""
    request = pb.VerifySpeakerRequest(audio=recording((ANNA, 200)), other_audio=recording((other, 100)))
    async with speakers() as (stub, _):
        response = await stub.VerifySpeaker(request)
    assert response.same_speaker is same
    assert response.similarity == pytest.approx(np.cos((ANNA - other) * np.pi / 2), abs=1e-6)
    assert response.threshold == 0.75
    assert to_seconds(response.speech_duration) == pytest.approx(3.2)


async def test_a_vector_is_compared():
    """What EmbedSpeaker answered stands for its recording, and the caller's threshold counts."""
    async with speakers() as (stub, _):
        embedding = (await stub.EmbedSpeaker(pb.EmbedSpeakerRequest(audio=recording((BERTA, 100))))).embedding
        request = pb.VerifySpeakerRequest(
            audio=recording((ANNA, 60)), other_embedding=pb.SpeakerEmbedding(embedding=embedding), threshold=0.1
        )
        response = await stub.VerifySpeaker(request)
    assert response.same_speaker
    assert response.similarity == pytest.approx(np.cos((ANNA - BERTA) * np.pi / 2), abs=1e-6)
    assert response.threshold == pytest.approx(0.1)
    assert to_seconds(response.speech_duration) == pytest.approx(60 * WINDOW / 16_000)


@pytest.mark.parametrize(
    ("reference", "changes", "field"),
    [
        ({}, {}, "other_audio"),
        ({"other_audio": media_pb2.Audio()}, {}, "other_audio.content"),
        ({"other_embedding": pb.SpeakerEmbedding(embedding=[0.6, 0.7])}, {}, "other_embedding.embedding"),
        ({"other_embedding": pb.SpeakerEmbedding(embedding=[np.nan, 1])}, {}, "other_embedding.embedding"),
        ({"other_embedding": pb.SpeakerEmbedding()}, {}, "other_embedding.embedding"),
        ({"other_embedding": pb.SpeakerEmbedding(embedding=[0, 0, 1])}, {}, "other_embedding.embedding"),
        ({"other_embedding": pb.SpeakerEmbedding(embedding=[0, 1])}, {"threshold": 1.5}, "threshold"),
        ({"other_embedding": pb.SpeakerEmbedding(embedding=[0, 1])}, {"threshold": np.nan}, "threshold"),
        ({"other_embedding": pb.SpeakerEmbedding(embedding=[0, 1])}, {"model": "unmeasured"}, "threshold"),
        ({"other_embedding": pb.SpeakerEmbedding(embedding=[0, 1])}, {"request_id": "1"}, "request_id"),
    ],
)
async def test_references_that_cannot_be(reference, changes, field):
    """Each refusal names the field that is wrong."""
    async with speakers() as (stub, _):
        request = pb.VerifySpeakerRequest(audio=recording((ANNA, 100)), **reference, **changes)
        code, _, bad, _ = await failure(stub.VerifySpeaker(request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in bad.field_violations] == [field]


async def test_what_preprocessing_says_comes_through():
    """An error of the decoder is the caller's, under the name of the recording, and no model is asked."""
    async with speakers(error=errors.InvalidArgument.field("audio.content", "is damaged")) as (stub, inference):
        request = pb.VerifySpeakerRequest(audio=recording((ANNA, 9)), other_audio=recording((ANNA, 9)))
        code, _, bad, _ = await failure(stub.EmbedSpeaker(pb.EmbedSpeakerRequest(audio=request.audio)))
        assert (code, bad.field_violations[0].description) == (grpc.StatusCode.INVALID_ARGUMENT, "is damaged")
        code, _, bad, _ = await failure(stub.VerifySpeaker(request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert bad.field_violations[0].field in {"audio.content", "other_audio.content"}
    assert not inference.calls


async def test_without_a_model():
    """A mesh that has no such model says so; an unknown name lists those that there are."""
    other = VOICES.model_copy(update={"task": "speech-recognition"})
    request = pb.EmbedSpeakerRequest(audio=recording((ANNA, 100)))
    async with speakers(other) as (stub, _):
        assert (await failure(stub.EmbedSpeaker(request)))[0] is grpc.StatusCode.UNIMPLEMENTED
    async with speakers() as (stub, _):
        request.model = "nobody"
        code, info, _, _ = await failure(stub.EmbedSpeaker(request))
    assert (code, info.metadata["known"]) == (grpc.StatusCode.NOT_FOUND, "unmeasured, voices")
