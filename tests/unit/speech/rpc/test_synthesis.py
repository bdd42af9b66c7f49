"""SynthesizeSpeech, StreamingSynthesize and ListVoices through their public stub, with a fake voice behind them."""

# ruff: noqa: RUF001 - phonetic letters, and forms of letters that look like others
from __future__ import annotations

import asyncio
import io
import uuid
import wave
from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest

from maas.speech.v1 import speech_pb2_grpc
from maas.speech.v1 import synthesis_pb2 as pb
from services.mesh import errors
from services.mesh.durations import to_seconds
from services.mesh.models import ModelCard
from services.mesh.server import Servicer
from services.mesh.testing import FakeInference, FakePreprocessor, known_models, serve
from services.speech.pipelines.synthesis.synthesizer import Synthesizer
from services.speech.rpc.synthesis import SynthesisRpcs

HERTZ = 24_000
ENGLISH = ModelCard(
    name="mouth",
    task="speech-synthesis",
    summary="Speaks.",
    default=True,
    languages=("en",),
    preprocess={
        "sample_rate_hertz": HERTZ,
        "voices": ["heart"],
        "voice_details": {"heart": {"languages": ["en-US"], "gender": "female", "gain_db": 6.0206}},
        "scripts": ["latin"],
    },
)
BOTH = ModelCard(
    name="choir",
    task="speech-synthesis",
    summary="Speaks too.",
    languages=("en", "zh"),
    preprocess={
        "sample_rate_hertz": HERTZ,
        "voices": ["mei", "tom", "ann"],
        "voice_details": {
            "mei": {"languages": ["zh-CN"], "gender": "female"},
            "tom": {"languages": ["en-US"], "gender": "male"},
            "ann": {"languages": ["en-GB"], "gender": "female"},
        },
        "scripts": ["latin", "han"],
        "first_piece": 20,
        "longest_piece": 60,
    },
)


def hum(model, inputs):
    """A tenth of a second for each word, with silence around it that is no speech."""
    words = len(inputs["text"][0].decode().split())
    sound = np.full(words * HERTZ // 10, 0.25, np.float32)
    return {"audio": np.concatenate([np.zeros(HERTZ // 2, np.float32), sound, np.zeros(HERTZ // 2, np.float32)])}


class Rpcs(SynthesisRpcs):
    """The RPCs alone."""

    def __init__(self, models, synthesizer) -> None:
        self._models = models
        self._synthesizer = synthesizer


@asynccontextmanager
async def speech(*cards, answer=hum):
    inference = FakeInference(answer)
    models = await known_models(*(cards or (ENGLISH, BOTH)))
    servicer = Servicer(
        "maas.speech.v1.SpeechService",
        speech_pb2_grpc.add_SpeechServiceServicer_to_server,
        Rpcs(models, Synthesizer(inference, FakePreprocessor())),
    )
    async with serve(servicer) as channel:
        yield speech_pb2_grpc.SpeechServiceStub(channel), inference


def said(inference):
    """Texts, in the order in which they were spoken."""
    return [inputs["text"][0].decode() for _, inputs, _ in inference.calls]


def config(**options):
    return pb.StreamingSynthesizeRequest(config=pb.StreamingSynthesizeConfig(**options))


def text(piece):
    return pb.StreamingSynthesizeRequest(text=piece)


FLUSH = pb.StreamingSynthesizeRequest(flush=pb.SynthesisFlush())


async def streamed(stub, *requests):
    """Sentences, bytes and the end."""
    answers = [answer async for answer in stub.StreamingSynthesize(requests, timeout=20)]
    kinds = [answer.WhichOneof("streaming_response") for answer in answers]
    assert kinds[-1] == "end"
    assert "end" not in kinds[:-1]
    return (
        [answer.sentence for answer in answers if answer.HasField("sentence")],
        b"".join(answer.audio_content for answer in answers),
        answers[-1].end,
    )


async def test_a_text_is_spoken():
    """A WAV file with what the voice said, as loud as other voices, and the names of voice and model."""
    echo = str(uuid.uuid4())
    async with speech() as (stub, inference):
        response = await stub.SynthesizeSpeech(pb.SynthesizeSpeechRequest(text="Hello there.", request_id=echo))
    assert (response.voice, response.model, response.request_id) == ("heart", "mouth", echo)
    with wave.open(io.BytesIO(response.audio_content)) as file:
        assert file.getframerate() == response.sample_rate_hertz == HERTZ
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert len(samples) / HERTZ == pytest.approx(to_seconds(response.duration), abs=1e-4)
    assert len(samples) / HERTZ == pytest.approx(0.2, abs=0.07)
    assert np.abs(samples).max() == pytest.approx(0.5 * 32767, rel=0.01)
    (_, inputs, _), *more = inference.calls
    assert not more
    assert {name: value[0] for name, value in inputs.items()} == {
        "text": b"Hello there.",
        "voice": b"heart",
        "language": b"en",
        "speaking_rate": 1.0,
    }


async def test_sentences_are_spoken_one_by_one(measured):
    """With a pause between them, and none at the end; how long it all is, is counted."""
    async with speech() as (stub, inference):
        response = await stub.SynthesizeSpeech(pb.SynthesizeSpeechRequest(text="One two. Three. 😀"))
    assert said(inference) == ["One two.", "Three."]
    assert to_seconds(response.duration) == pytest.approx(0.3 + 0.35, abs=0.14)
    counted = measured.added("maas_audio_duration_seconds_total", maas_direction="out")
    assert counted == pytest.approx(to_seconds(response.duration), abs=1e-4)


@pytest.mark.parametrize(
    ("fields", "voice", "model", "language"),
    [
        ({"text": "Hello."}, "heart", "mouth", b"en"),
        ({"text": "你好 world。"}, "mei", "choir", b"zh"),
        ({"text": "5", "language_code": "zh-CN"}, "mei", "choir", b"zh"),
        ({"text": "Hello.", "language_code": "en-GB", "model": "choir"}, "ann", "choir", b"en"),
        ({"text": "Hello.", "model": "choir"}, "tom", "choir", b"en"),
        ({"text": "Hello.", "voice": "mei"}, "mei", "choir", b"zh"),
        ({"text": "Hello.", "voice": "ann", "language_code": "en-US"}, "ann", "choir", b"en"),
        ({"ssml": "<speak xml:lang='zh'>5</speak>"}, "mei", "choir", b"zh"),
    ],
)
async def test_who_speaks(fields, voice, model, language):
    """By voice, model, language, or what the text is written in."""
    async with speech() as (stub, inference):
        response = await stub.SynthesizeSpeech(pb.SynthesizeSpeechRequest(**fields))
    assert (response.voice, response.model, inference.calls[0][1]["language"][0]) == (voice, model, language)


async def test_ssml_is_spoken():
    """Breaks are exact silence, rates multiply with the request's and stay within the model's, sounds are marked up."""
    ssml = (
        "<speak>One <break time='2s'/> two <prosody rate='200%'>three</prosody>"
        "<phoneme alphabet='ipa' ph='tuː'>x</phoneme></speak>"
    )
    async with speech() as (stub, inference):
        response = await stub.SynthesizeSpeech(
            pb.SynthesizeSpeechRequest(ssml=ssml, speaking_rate=1.5, audio_encoding=pb.AUDIO_ENCODING_LINEAR16)
        )
    assert said(inference) == ["One", "two", "three", "[x](/tuː/)"]
    assert [float(inputs["speaking_rate"][0]) for _, inputs, _ in inference.calls] == [1.5, 1.5, 2.0, 1.5]
    samples = np.frombuffer(response.audio_content, "<i2")
    loud = np.flatnonzero(np.abs(samples) > 1000)
    silences = np.diff(loud)[np.diff(loud) > HERTZ] / HERTZ
    assert silences == pytest.approx([2.0], abs=0.08)


@pytest.mark.parametrize(
    ("fields", "code", "told"),
    [
        ({}, "INVALID_ARGUMENT", "text: exactly one of text and ssml"),
        ({"text": "a", "ssml": "<speak>a</speak>"}, "INVALID_ARGUMENT", "text: exactly one of text and ssml"),
        ({"text": "a" * 5001}, "INVALID_ARGUMENT", "text: takes 1 to 5000 UTF-8 bytes, got 5001"),
        ({"text": "a" * 1_000_000}, "INVALID_ARGUMENT", "text: takes 1 to 5000 UTF-8 bytes, got 1000000"),
        ({"text": " \n"}, "INVALID_ARGUMENT", "text: holds nothing that can be spoken"),
        ({"text": "😀 ..."}, "INVALID_ARGUMENT", "text: holds nothing that can be spoken"),
        ({"ssml": "<speak><break/></speak>"}, "INVALID_ARGUMENT", "ssml: holds nothing that can be spoken"),
        ({"ssml": "<speak><voice>a</voice></speak>"}, "INVALID_ARGUMENT", "ssml: does not take the element 'voice'"),
        ({"text": "Say مرحبا"}, "INVALID_ARGUMENT", "text: has words in arabic script"),
        ({"text": "hi", "language_code": "fr"}, "INVALID_ARGUMENT", "language_code: no voice speaks 'fr'"),
        ({"text": "hi", "language_code": "!"}, "INVALID_ARGUMENT", "language_code: takes a BCP-47 tag"),
        ({"text": "你好", "model": "mouth"}, "INVALID_ARGUMENT", "language_code: no voice of 'mouth' speaks 'zh'"),
        ({"text": "a", "voice": "tom", "language_code": "zh"}, "INVALID_ARGUMENT", "voice 'tom' does not speak 'zh'"),
        ({"text": "a", "voice": "bob"}, "NOT_FOUND", "no voice is called 'bob'; there are: ann, heart, mei, tom"),
        ({"text": "a", "voice": "tom", "model": "mouth"}, "NOT_FOUND", "no voice is called 'tom'"),
        ({"text": "a", "model": "x"}, "NOT_FOUND", "no model is called 'x'"),
        ({"text": "a", "speaking_rate": 2.1}, "INVALID_ARGUMENT", "speaking_rate: takes 0.5 to 2"),
        ({"text": "a", "speaking_rate": float("nan")}, "INVALID_ARGUMENT", "speaking_rate: takes 0.5 to 2"),
        ({"text": "a", "volume_gain_db": -41}, "INVALID_ARGUMENT", "volume_gain_db: takes -40 to 16"),
        ({"text": "a", "audio_encoding": 99}, "INVALID_ARGUMENT", "audio_encoding: has no value 99"),
        (
            {"text": "a", "audio_encoding": pb.AUDIO_ENCODING_OGG_OPUS, "sample_rate_hertz": 44_100},
            "INVALID_ARGUMENT",
            "sample_rate_hertz: takes 8000, 12000, 16000, 24000, 48000",
        ),
        ({"text": "a", "request_id": "x"}, "INVALID_ARGUMENT", "request_id"),
    ],
)
async def test_what_is_refused(fields, code, told):
    """Each with its field and limit, before any model runs."""
    async with speech() as (stub, inference):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.SynthesizeSpeech(pb.SynthesizeSpeechRequest(**fields))
    assert caught.value.code().name == code
    assert told in caught.value.details()
    assert not inference.calls


async def test_voices_are_listed():
    """Those of the default model first; or those of one language."""
    async with speech() as (stub, _):
        everybody = await stub.ListVoices(pb.ListVoicesRequest())
        chinese = await stub.ListVoices(pb.ListVoicesRequest(language_code="zh-TW"))
        nobody = await stub.ListVoices(pb.ListVoicesRequest(language_code="fr"))
    assert [voice.name for voice in everybody.voices] == ["heart", "mei", "tom", "ann"]
    (mei,) = chinese.voices
    assert (list(mei.language_codes), mei.model, mei.sample_rate_hertz) == (["zh-CN"], "choir", HERTZ)
    assert mei.gender == pb.VOICE_GENDER_FEMALE
    assert not nobody.voices


async def test_a_text_is_spoken_while_it_comes():
    """Sentences with their places, one file of samples, and the end with its length."""
    echo = str(uuid.uuid4())
    pieces = ["Hel", "lo the", "re. How are", " you? Fi", "ne"]
    async with speech() as (stub, inference):
        sentences, content, end = await streamed(stub, config(request_id=echo), *map(text, pieces))
    assert said(inference) == [each.text for each in sentences] == ["Hello there.", "How are you?", "Fine"]
    assert (end.voice, end.model, end.request_id, end.sample_rate_hertz) == ("heart", "mouth", echo, HERTZ)
    assert len(content) == pytest.approx(2 * HERTZ * to_seconds(end.duration), abs=4)
    samples = np.abs(np.frombuffer(content, "<i2"))
    for each in sentences:
        begin, finish = (round(to_seconds(offset) * HERTZ) for offset in (each.start_offset, each.end_offset))
        assert samples[begin:finish].mean() > 5000
    assert samples[round(to_seconds(sentences[0].end_offset) * HERTZ) :][: HERTZ // 4].max() == 0


async def test_the_first_sentence_is_heard_before_the_second_is_written():
    """Its sound comes while the sender still keeps the stream open."""
    async with speech() as (stub, _):
        call = stub.StreamingSynthesize(timeout=20)
        await call.write(config())
        await call.write(text("Hello there. "))
        assert (await call.read()).sentence.text == "Hello there."
        assert (await call.read()).audio_content
        await call.write(text("Go on"))
        await call.write(FLUSH)
        while not (answer := await call.read()).HasField("sentence"):
            pass
        assert answer.sentence.text == "Go on"
        await call.done_writing()
        while not (answer := await call.read()).HasField("end"):
            assert answer.audio_content


async def test_a_slow_model_begins_with_a_clause():
    """Where the model says that it is slow, the first sentence is cut after a clause."""
    async with speech() as (stub, inference):
        await streamed(stub, config(voice="tom"), text("When it rained, we all went home, and stayed there. We slept."))
    assert said(inference) == ["When it rained,", "we all went home, and stayed there.", "We slept."]


async def test_the_first_sentence_tells_the_language():
    """When the configuration does not."""
    async with speech() as (stub, _):
        _, _, end = await streamed(stub, config(), text("你"), text("好。Hello."))
    assert (end.voice, end.model) == ("mei", "choir")


async def test_foreign_words_in_a_stream_are_passed_over():
    """The sentence tells what was said; one with nothing else in it is not spoken."""
    async with speech() as (stub, _):
        sentences, _, _ = await streamed(stub, config(voice="heart"), text("Say مرحبا to him. नमस्ते. 😀. Bye."))
    assert [each.text for each in sentences] == ["Say to him.", "Bye."]


@pytest.mark.parametrize(
    ("encoding", "begins", "rate"),
    [
        (pb.AUDIO_ENCODING_WAV, b"RIFF\xff\xff\xff\xffWAVE", HERTZ),
        (pb.AUDIO_ENCODING_FLAC, b"fLaC", HERTZ),
        (pb.AUDIO_ENCODING_OGG_OPUS, b"OggS", HERTZ),
        (pb.AUDIO_ENCODING_MP3, b"", HERTZ),
        (pb.AUDIO_ENCODING_MULAW, b"", 8000),
    ],
)
async def test_encodings_of_a_stream(encoding, begins, rate):
    """All answers together are one file."""
    async with speech() as (stub, _):
        _, content, end = await streamed(stub, config(audio_encoding=encoding), text("One. Two."))
    assert content.startswith(begins)
    assert end.sample_rate_hertz == rate


async def test_chunks_are_small():
    """No answer brings more than 64 KiB."""
    async with speech() as (stub, _):
        requests = [config(audio_encoding=pb.AUDIO_ENCODING_WAV, sample_rate_hertz=48_000), text("word " * 60)]
        sizes = [len(each.audio_content) async for each in stub.StreamingSynthesize(requests, timeout=20)]
    assert max(sizes) == 64 * 1024


@pytest.mark.parametrize(
    ("requests", "code", "told"),
    [
        ([], "INVALID_ARGUMENT", "config: is required in the first message, which brought nothing"),
        ([text("a")], "INVALID_ARGUMENT", "config: is required in the first message, which brought text"),
        ([config(), config()], "INVALID_ARGUMENT", "config: comes once"),
        ([config(), pb.StreamingSynthesizeRequest()], "INVALID_ARGUMENT", "streaming_request: takes one of"),
        ([config(), text("")], "INVALID_ARGUMENT", "text: takes 1 to 5000"),
        ([config(), text("a" * 5001)], "INVALID_ARGUMENT", "text: takes 1 to 5000"),
        ([config()], "INVALID_ARGUMENT", "text: holds nothing that can be spoken"),
        ([config(), text("😀"), FLUSH], "INVALID_ARGUMENT", "text: holds nothing that can be spoken"),
        ([config(voice="bob"), text("a")], "NOT_FOUND", "no voice is called 'bob'"),
        ([config(language_code="fr")], "INVALID_ARGUMENT", "language_code: no voice speaks 'fr'"),
        ([config(speaking_rate=9)], "INVALID_ARGUMENT", "speaking_rate"),
        ([config(audio_encoding=5, sample_rate_hertz=9000)], "INVALID_ARGUMENT", "sample_rate_hertz: takes 8000"),
        ([config(request_id="x")], "INVALID_ARGUMENT", "request_id"),
    ],
)  # fmt: skip
async def test_streams_that_are_refused(requests, code, told):
    """The status names what is wrong."""
    async with speech() as (stub, _):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await streamed(stub, *requests)
    assert caught.value.code().name == code
    assert told in caught.value.details()


async def test_a_failing_model_ends_the_stream():
    """With its status."""
    async with speech(answer=lambda *_: errors.Unavailable("gone")) as (stub, _):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await streamed(stub, config(), text("One. Two."))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_who_does_not_listen_ends_the_work():
    """Only a few sentences are synthesised ahead of the reader, and none after he has gone."""
    async with speech() as (stub, inference):
        call = stub.StreamingSynthesize((config(), *[text("word " * 400 + ". ")] * 40), timeout=20)
        async for answer in call:
            if answer.audio_content:
                break
        call.cancel()
        while (before := len(inference.calls)) < 40:
            await asyncio.sleep(0.05)
            if len(inference.calls) == before:
                break
    assert len(inference.calls) < 40
