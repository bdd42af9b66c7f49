"""Sound in streams over a real socket, and the adapters of its port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2

from maas.preprocessing.v1 import preprocessing_pb2 as pb
from maas.preprocessing.v1 import preprocessing_pb2_grpc
from maas.type.v1 import media_pb2
from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard, Models
from services.mesh.ports import AudioFormat, Preprocessor, SoundEnd, SoundEvent, SoundPiece
from services.mesh.preprocessing import RemotePreprocessor
from services.mesh.testing import FakeInference, known_models, serve
from services.preprocessing.app import servicer
from services.preprocessing.local import LocalPreprocessor
from services.preprocessing.pipelines.fetch.fetcher import Fetcher
from services.preprocessing.pipelines.inputs import InputPipelines
from services.preprocessing.pipelines.languages import LanguageIdentifier
from services.preprocessing.pipelines.sound import denoise, speech
from services.preprocessing.pipelines.sound.sounds import Sounds
from services.preprocessing.pipelines.sound.stream import SoundStreamer
from services.preprocessing.pipelines.tokens import Tokenizers
from services.preprocessing.pipelines.video.extract import FrameExtractor
from services.preprocessing.pipelines.workers import Workers
from tests.integration.preproc_service import refused
from tests.unit.preprocessing.sound.recordings import recorded, sine

ID = "7d9a7d4c-52c5-4c4c-a8f5-3b1c1a8e8a53"
MEBIBYTE = 1024 * 1024
LINEAR16 = {"encoding": "AUDIO_STREAM_ENCODING_LINEAR16", "sample_rate_hertz": 16_000}
RAW = AudioFormat("linear16", 16_000, 1)
CARDS = (
    ModelCard(name="vad", task=speech.TASK, summary="Hears speech.", default=True),
    ModelCard(name="cleaner", task=denoise.TASK, summary="Takes noise out."),
)


def answer(model, inputs) -> dict[str, np.ndarray] | errors.MeshError:
    """Speech is what is loud; noise is half of everything, and takes three blocks to be told."""
    audio, state = inputs["audio"], inputs["state"]
    if model == "vad":
        windows = audio[64:].reshape(-1, 512)
        return {"probabilities": np.abs(windows).max(axis=1), "state": state}
    delayed = np.concatenate([state[:384], audio / 2])
    return {"audio": delayed[: len(audio)], "state": np.concatenate([delayed[-384:], state[384:]])}


@dataclass
class Served:
    """A service, and the two ways to it."""

    stub: preprocessing_pb2_grpc.PreprocessingServiceAsyncStub
    streamer: SoundStreamer
    models: Models
    inference: FakeInference
    remote: Preprocessor
    local: Preprocessor

    async def idle(self) -> None:
        """Wait until no stream is being decoded."""
        while self.streamer.streams:
            await asyncio.sleep(0.01)


@pytest.fixture
def cards() -> tuple[ModelCard, ...]:
    return CARDS


@pytest.fixture
async def served(cards) -> AsyncIterator[Served]:
    inference = FakeInference(answer)
    known = await known_models(*cards)
    # No model is required, as in the service.
    models = Models(known._source, [], optional_tasks=[speech.TASK, denoise.TASK], poll_seconds=1)
    await models.refresh()
    with Workers(threads=1, max_waiting=1) as workers, SoundStreamer(max_streams=2) as streamer:
        pipelines = InputPipelines(
            Tokenizers({}),
            workers,
            LanguageIdentifier(inference, models),
            Fetcher(),
            extractor=FrameExtractor(),
            sounds=Sounds(streamer, inference, models),
        )
        async with serve(servicer(pipelines)) as channel:
            stub = preprocessing_pb2_grpc.PreprocessingServiceStub(channel)
            remote, local = RemotePreprocessor(channel), LocalPreprocessor(pipelines)
            yield Served(stub, streamer, models, inference, remote, local)


def talk(*parts: tuple[float, float]) -> bytes:
    """LINEAR16 of parts, each so loud for so many seconds."""
    samples = np.concatenate([np.full(round(seconds * 16_000), loud) for loud, seconds in parts])
    return (samples * 32767).astype("<i2").tobytes()


async def pieces(content: bytes, size: int = 3200) -> AsyncIterator[bytes]:
    for begin in range(0, len(content), size):
        yield content[begin : begin + size]


async def silent() -> AsyncIterator[bytes]:
    """Sound that never goes on."""
    yield b"RIFF"
    await asyncio.Event().wait()


def stream(preprocessor: Preprocessor, chunks: AsyncIterator[bytes], audio_format: AudioFormat = RAW, **options):
    wanted = {"sample_rate_hertz": 16_000, "measure_speech": True, "field": "audio", "deadline": Deadline.after(20)}
    return preprocessor.stream_audio(chunks, audio_format, **(wanted | options))


def asked(rpc: str, content: bytes = b"", size: int = 3200, **config) -> list:
    """The requests of a stream."""
    kind = getattr(pb, f"{rpc}Request")
    return [kind(config=config), *(kind(content=content[at : at + size]) for at in range(0, len(content), size))]


async def ask(served: Served, rpc: str, requests: list) -> list:
    return [response async for response in getattr(served.stub, rpc)(iter(requests), timeout=20)]


async def test_samples_and_speech(served):
    """Samples follow each other with their offsets, each window is measured once, and the end has the facts."""
    content = talk((0, 0.5), (0.8, 0.73))
    requests = asked("StreamingConvertAudio", content, 3201, format=LINEAR16, measure_speech=True, request_id=ID)
    *told, last = await ask(served, "StreamingConvertAudio", requests)
    samples = np.concatenate([np.frombuffer(each.piece.content, "<f4") for each in told])
    np.testing.assert_allclose(samples, np.frombuffer(content, "<i2") / 32768, atol=1e-7)
    assert [each.piece.offset.ToMicroseconds() for each in told[:3]] == [0, 100_000, 200_062]
    probabilities = [each for message in told for each in message.piece.speech_probabilities]
    assert len(probabilities) == -(-len(samples) // 512)
    assert probabilities[14] == 0
    assert probabilities[-1] == pytest.approx(0.8, abs=1e-3)
    assert told[-1].piece.bytes_received == len(content)
    end = last.end
    assert (end.source_sample_rate_hertz, end.source_channels, end.source_codec) == (16_000, 1, "pcm_s16le")
    assert (end.request_id, end.damaged, end.duration.ToMilliseconds()) == (ID, False, 1230)


async def test_pieces_of_speech(served):
    """Speech is told when it has begun, and again when it has ended, with what is around it."""
    content = talk((0, 1), (0.9, 1), (0, 1.5), (0.9, 0.096), (0, 1), (0.9, 0.5))
    *told, last = await ask(served, "DetectSpeech", asked("DetectSpeech", content, format=LINEAR16, request_id=ID))
    kinds = [each.WhichOneof("streaming_response") for each in told]
    assert kinds == ["speech_start", "speech", "speech_start", "speech"]
    begin, end = told[1].speech.start_offset, told[1].speech.end_offset
    assert told[0].speech_start == begin
    assert begin.ToMilliseconds() == pytest.approx(900, abs=32)
    assert end.ToMilliseconds() == pytest.approx(2100, abs=32)
    assert told[1].speech.confidence == pytest.approx(0.9, abs=0.05)
    assert told[3].speech.end_offset == last.end.duration
    assert (last.end.model, last.end.request_id) == ("vad", ID)
    assert last.end.speech_duration.ToMilliseconds() == pytest.approx(1200 + 600, abs=64)


async def test_cleaner_sound(served):
    """What comes back is as long as what was sent, and not later."""
    content = talk((0.2, 0.1), (0.5, 0.333))
    *told, last = await ask(served, "DenoiseAudio", asked("DenoiseAudio", content, 999, format=LINEAR16, request_id=ID))
    samples = np.frombuffer(b"".join(each.content for each in told), "<i2")
    np.testing.assert_allclose(samples, np.frombuffer(content, "<i2") / 2, atol=1)
    assert (last.end.model, last.end.request_id, last.end.sample_rate_hertz) == ("cleaner", ID, 16_000)
    assert last.end.duration.ToMilliseconds() == 433


def config(rpc: str, **options) -> list:
    """A request that is refused at once. Nothing follows, since gRPC loses a status while it writes (grpc#36066)."""
    return asked(rpc, **({"format": LINEAR16} | options))


def seconds(value: float) -> Duration:
    return Duration(nanos=round(value % 1 * 1e9), seconds=int(value // 1))


@pytest.mark.parametrize("rpc", ["StreamingConvertAudio", "DetectSpeech", "DenoiseAudio"])
@pytest.mark.parametrize(
    ("requests", "field"),
    [
        (lambda rpc: [], "config"),
        (lambda rpc: asked(rpc, bytes(10))[1:], "config"),
        (lambda rpc: asked(rpc) * 2, "config"),
        (lambda rpc: [*asked(rpc, format=LINEAR16), getattr(pb, f"{rpc}Request")()], "content"),
        (lambda rpc: asked(rpc, bytes(MEBIBYTE + 1), MEBIBYTE + 1, format=LINEAR16), "content"),
        (lambda rpc: asked(rpc, format=LINEAR16), "content"),
        (asked, "content"),
        (lambda rpc: asked(rpc, bytes(3000)), "content"),
        (lambda rpc: config(rpc, request_id="x"), "request_id"),
        (lambda rpc: config(rpc, format={**LINEAR16, "sample_rate_hertz": 3999}), "config.format.sample_rate_hertz"),
        (lambda rpc: config(rpc, format={**LINEAR16, "channels": 9}), "config.format.channels"),
        (lambda rpc: config(rpc, format={"sample_rate_hertz": 8000}), "config.format.sample_rate_hertz"),
        (lambda rpc: config(rpc, format={**LINEAR16, "encoding": 9}), "config.format.encoding"),
    ],
)
async def test_broken_rules(served, rpc, requests, field):
    """Each rule of the contract is an INVALID_ARGUMENT that names the field, and leaves nothing behind."""
    await refuses(served, rpc, requests(rpc), field)


@pytest.mark.parametrize(
    ("rpc", "options", "field"),
    [
        ("StreamingConvertAudio", {"sample_rate_hertz": 7999}, "config.sample_rate_hertz"),
        ("StreamingConvertAudio", {"sample_rate_hertz": 8000, "measure_speech": True}, "config.measure_speech"),
        ("DetectSpeech", {"threshold": 1}, "config.threshold"),
        ("DetectSpeech", {"threshold": float("nan")}, "config.threshold"),
        ("DetectSpeech", {"min_silence": seconds(0.03)}, "config.min_silence"),
        ("DetectSpeech", {"min_speech": seconds(10.1)}, "config.min_speech"),
        ("DetectSpeech", {"padding": seconds(-0.5)}, "config.padding"),
    ],
)
async def test_broken_rules_of_one(served, rpc, options, field):
    """So are the rules of single RPCs."""
    await refuses(served, rpc, config(rpc, **options), field)


async def refuses(served: Served, rpc: str, requests: list, field: str) -> None:
    code, details = await refused(ask(served, rpc, requests))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    bad = next(detail for detail in details if isinstance(detail, error_details_pb2.BadRequest))
    assert [violation.field for violation in bad.field_violations] == [field]
    await served.idle()


@pytest.mark.parametrize("rpc", ["StreamingConvertAudio", "DetectSpeech", "DenoiseAudio"])
@pytest.mark.parametrize("cards", [()], ids=["no models"])
async def test_no_model(served, rpc):
    """Without a model what needs one is UNIMPLEMENTED, and sound is decoded nevertheless."""
    options = {"measure_speech": True} if rpc == "StreamingConvertAudio" else {}
    code, _ = await refused(ask(served, rpc, config(rpc, **options)))
    assert code is grpc.StatusCode.UNIMPLEMENTED
    requests = asked("StreamingConvertAudio", talk((0, 0.1)), format=LINEAR16)
    assert (await ask(served, "StreamingConvertAudio", requests))[-1].HasField("end")


@pytest.mark.parametrize("rpc", ["DetectSpeech", "DenoiseAudio"])
async def test_unknown_model(served, rpc):
    """A model that does not exist is NOT_FOUND."""
    code, _ = await refused(ask(served, rpc, config(rpc, model="whisper")))
    assert code is grpc.StatusCode.NOT_FOUND


async def test_models_are_listed(served):
    """GetPreprocessingConfig lists those that are ready, with their tasks."""
    response = await served.stub.GetPreprocessingConfig(pb.GetPreprocessingConfigRequest())
    assert {each.name: each.task for each in response.models} == {"vad": speech.TASK, "cleaner": denoise.TASK}


async def test_both_adapters_answer_alike(served):
    """Over the socket and in process the same events come, of raw samples and of a container."""
    sounds = [
        (talk((0, 0.3), (0.7, 1.7)), RAW),
        (recorded(sine(440), rate=16_000, container="flac", codec="flac"), AudioFormat()),
    ]
    for content, audio_format in sounds:
        remote, local = [
            [event async for event in stream(each, pieces(content, 5001), audio_format)]
            for each in (served.remote, served.local)
        ]
        assert local[-1].duration_seconds == pytest.approx(remote[-1].duration_seconds, abs=1e-6)
        assert isinstance(remote[-1], SoundEnd)
        assert len(remote) == len(local)
        for one, other in zip(remote[:-1], local[:-1], strict=True):
            np.testing.assert_array_equal(one.samples, other.samples, strict=True)
            np.testing.assert_array_equal(one.speech, other.speech, strict=True)
            assert one.offset_seconds == pytest.approx(other.offset_seconds, abs=1e-6)
            assert one.bytes_received == other.bytes_received


@pytest.mark.parametrize("adapter", ["remote", "local"])
async def test_errors_of_the_adapters(served, adapter):
    """What is wrong with sound is an error in the caller's words, and so is what its own chunks raise."""
    preprocessor = getattr(served, adapter)

    async def broken() -> AsyncIterator[bytes]:
        yield bytes(3200)
        raise errors.InvalidArgument.field("frame", "is not allowed here")

    async def drain(chunks: AsyncIterator[bytes], *options, **more) -> list[SoundEvent]:
        return [event async for event in stream(preprocessor, chunks, *options, **more)]

    with pytest.raises(errors.InvalidArgument, match="is none of") as caught:
        await drain(pieces(bytes(5000)), AudioFormat())
    assert [each.field for each in caught.value.violations] == ["audio"]
    with pytest.raises(errors.InvalidArgument, match="not allowed here"):
        await drain(broken())
    for audio_format in (RAW, AudioFormat()):
        with pytest.raises(errors.DeadlineExceeded):
            await drain(silent(), audio_format, deadline=Deadline.after(0.3))
    served.inference.answer = lambda *_: errors.Exhausted("the queue is full", retry_after_seconds=1)
    with pytest.raises(errors.Exhausted):
        await drain(pieces(talk((0, 1))))
    await served.idle()


@pytest.mark.parametrize("audio_format", [RAW, AudioFormat()], ids=["raw", "container"])
@pytest.mark.parametrize("adapter", ["remote", "local"])
async def test_closing_ends_the_work(served, adapter, audio_format):
    """Closing the generator, or cancelling who reads from it, ends the decoding, also while it waits for input."""
    preprocessor = getattr(served, adapter)
    content = recorded(np.tile(sine(440), 20), rate=16_000)
    events = stream(preprocessor, pieces(content), audio_format)
    assert isinstance(await anext(events), SoundPiece)
    await events.aclose()
    await served.idle()
    chunks = silent()
    events = stream(preprocessor, chunks, audio_format, measure_speech=False)
    waiting = asyncio.ensure_future(_all(events))
    while not served.streamer.streams:
        await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await events.aclose()
    await served.idle()
    # It raises RuntimeError when somebody is still in there.
    await chunks.aclose()


async def _all(events) -> list[SoundEvent]:
    return [event async for event in events]


@pytest.mark.usefixtures("small_windows")
async def test_a_reader_who_stops_makes_the_writer_stop(served):
    """Of a long stream little is sent when nobody takes what comes of it; it goes on when that is taken."""
    content = bytes(64 * 1024)
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(400):
            sent += 1
            yield content

    events = stream(served.remote, chunks(), measure_speech=False)
    await anext(events)
    seen = -1
    while seen < sent:
        seen = sent
        await asyncio.sleep(0.25)
    assert sent < 200
    assert sum([len(event.samples) async for event in events if isinstance(event, SoundPiece)]) > 0
    assert sent == 400


async def test_too_many_streams(served):
    """A stream beyond those that may be decoded at once is RESOURCE_EXHAUSTED, with a time to retry."""
    begun = [
        asyncio.ensure_future(_all(stream(served.remote, silent(), each, measure_speech=False)))
        for each in (RAW, AudioFormat())
    ]
    while served.streamer.streams < len(begun):
        await asyncio.sleep(0.01)
    with pytest.raises(errors.Exhausted) as caught:
        await anext(stream(served.remote, silent()))
    assert caught.value.retry_after_seconds
    for each in begun:
        each.cancel()
    await asyncio.wait(begun)
    await served.idle()


async def test_an_error_while_chunks_are_sent(served):
    """What is wrong with sound is told, also when the service says so while more of it is being written."""
    for _ in range(5):
        with pytest.raises(errors.InvalidArgument, match="is none of"):
            await anext(stream(served.remote, pieces(bytes(20 * MEBIBYTE), 200_000), AudioFormat()))


async def test_encodings_of_the_contract(served):
    """G.711 and floats are decoded too, of several channels their mean."""
    for encoding, content, loud in [
        (media_pb2.AUDIO_STREAM_ENCODING_MULAW, bytes([0x80, 0x00] * 800), 0.0),
        (media_pb2.AUDIO_STREAM_ENCODING_ALAW, bytes([0xAA] * 1600), 0.98438),
        (media_pb2.AUDIO_STREAM_ENCODING_FLOAT32, np.tile(np.float32([0.25, 0.75]), 800).tobytes(), 0.5),
    ]:
        audio_format = media_pb2.AudioStreamFormat(encoding=encoding, sample_rate_hertz=8000, channels=2)
        requests = asked("StreamingConvertAudio", content, 77, format=audio_format, sample_rate_hertz=8000)
        *told, last = await ask(served, "StreamingConvertAudio", requests)
        samples = np.concatenate([np.frombuffer(each.piece.content, "<f4") for each in told])
        np.testing.assert_allclose(samples, np.full(800, loud), atol=1e-5)
        assert last.end.source_channels == 2
