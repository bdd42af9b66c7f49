"""Sound and texts that break decoders, sent by strangers through the gateway: clear answers, and memory stays flat."""

from __future__ import annotations

import asyncio
import functools
import io
import random
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import av
import grpc
import numpy as np
import pytest

from deploy.local.proc import resident_bytes
from maas.preprocessing.v1 import preprocessing_pb2, preprocessing_pb2_grpc
from maas.speech.v1 import live_pb2, speaker_pb2, speech_pb2, speech_pb2_grpc, synthesis_pb2
from maas.type.v1 import media_pb2
from services.mesh.durations import to_seconds
from tests.failure import failure, received, refusal

SAMPLES = Path(__file__).parents[2] / ".build/samples"
SECONDS = 60
MEBIBYTE = 1024 * 1024
INVALID = grpc.StatusCode.INVALID_ARGUMENT
NO_SOUND = "is none of aac, flac, mp3, mp4, ogg, wav, webm, or empty"
# Container, codec, samples a second.
KINDS = {
    "wav": ("wav", "pcm_s16le", 16_000),
    "flac": ("flac", "flac", 16_000),
    "ogg": ("ogg", "libopus", 48_000),
    "mp3": ("mp3", "libmp3lame", 16_000),
    "webm": ("webm", "libopus", 48_000),
    "m4a": ("mp4", "aac", 16_000),
}


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


@functools.cache
def spoken(kind: str) -> bytes:
    """Three seconds of somebody speaking in a format."""
    container, codec, rate = KINDS[kind]
    file = io.BytesIO()
    with av.open(io.BytesIO(sample("ask-not.wav"))) as source, av.open(file, "w", format=container) as target:
        stream = target.add_stream(codec, rate=rate, layout="mono")
        resampler = av.AudioResampler(stream.format.name, "mono", rate)
        for frame in source.decode(audio=0):
            if frame.time > 3:
                break
            for each in resampler.resample(frame):
                target.mux(stream.encode(each))
        target.mux(stream.encode(None))
    return file.getvalue()


@functools.cache
def ten_hours() -> bytes:
    """Silence in 68 kB of FLAC."""
    file = io.BytesIO()
    with av.open(file, "w", format="flac") as target:
        options = {"compression_level": "0", "frame_size": "32768"}
        stream = target.add_stream("flac", rate=4000, layout="mono", options=options)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 32_768 * 16), np.int16), format="s16", layout="mono")
        frame.sample_rate = 4000
        for _ in range(36_000 * 4000 // frame.samples + 1):
            frame.pts = None
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return file.getvalue()


def wav(data: bytes = bytes(32_000), *, rate: int = 16_000, channels: int = 1, bits: int = 16, code: int = 1) -> bytes:
    """A WAV file that says such things of itself."""
    block = channels * bits // 8 & 0xFFFF
    form = struct.pack("<HHIIHH", code, channels, rate, rate * block & 0xFFFFFFFF, block, bits)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def spoiled(kind: str, seed: int) -> bytes:
    """A recording some of whose bytes are others."""
    chance = random.Random(f"{kind} {seed}")
    content = bytearray(spoken(kind))
    for _ in range(chance.choice((1, 8, 64))):
        content[chance.randrange(len(content))] = chance.randrange(256)
    return bytes(content)


# What is sent -> what is said of audio.content.
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "is required, or a uri instead"),
    "a byte": (lambda: b"\0", NO_SOUND),
    "a page": (lambda: b"<!doctype html><title>Not found</title>" * 30, NO_SOUND),
    "a picture": (lambda: sample("coffee.png")[:MEBIBYTE], NO_SOUND),
    "half a header": (lambda: wav()[:20], ""),
    "a header alone": (lambda: wav(b""), "holds no sound"),
    "no rate": (lambda: wav(rate=0), ""),
    "one sample a second": (lambda: wav(rate=1), "4000 to 192000"),
    "as many samples a second as can be said": (lambda: wav(rate=2**32 - 1), ""),
    "384 kHz": (lambda: wav(rate=384_000), "4000 to 192000"),
    "nine channels": (lambda: wav(channels=9), "8"),
    "no channels": (lambda: wav(channels=0), ""),
    "65535 channels": (lambda: wav(channels=65_535), ""),
    "no numbers": (lambda: wav(np.full(16_000, np.nan, np.float32).tobytes(), bits=32, code=3), ""),
    "the first bytes of a FLAC": (lambda: spoken("flac")[:40], ""),
    "the first bytes of an OGG": (lambda: spoken("ogg")[:40], ""),
}


@pytest.fixture
async def channel(mesh) -> AsyncIterator[grpc.aio.Channel]:
    """To the gateway; the processes behind it are the same afterwards."""
    before = pids(mesh)
    async with grpc.aio.insecure_channel(mesh.address) as opened:
        yield opened
    assert pids(mesh) == before


@pytest.fixture
def speech(channel) -> speech_pb2_grpc.SpeechServiceStub:
    return speech_pb2_grpc.SpeechServiceStub(channel)


def pids(mesh) -> dict[str, int]:
    return {name: state.pid for name, state in mesh.states().items()}


def recognize(speech, content: bytes):
    return speech.Recognize(
        speech_pb2.RecognizeRequest(audio=media_pb2.Audio(content=content), language_code="en"), timeout=SECONDS
    )


@pytest.mark.parametrize("name", REFUSED)
async def test_sound_that_is_refused(speech, name):
    """A recording that cannot be is refused, with the field and the limit."""
    make, said = REFUSED[name]
    field, description = await refusal(recognize(speech, make()))
    assert field == "audio.content"
    assert said in description


@pytest.mark.parametrize("kind", KINDS)
async def test_all_formats(speech, kind):
    """Each format that the contract names is heard."""
    response = await recognize(speech, spoken(kind))
    assert "america" in response.transcript.lower()


async def test_much_sound_in_few_words(speech):
    """Eight channels of 192,000 samples a second are a recording like any other, and silence says nothing."""
    response = await recognize(speech, wav(bytes(192_000 * 8 * 2 * 3), rate=192_000, channels=8))
    assert (response.transcript, len(response.segments)) == ("", 0)
    assert to_seconds(response.duration) == pytest.approx(3, abs=0.01)


async def test_what_is_cut_off_is_heard_up_to_there(speech):
    """Of a WAV file that says it is longer than it is, what is there is understood."""
    response = await recognize(speech, sample("ask-not.wav")[:80_000])
    assert "america" in response.transcript.lower()


async def test_ten_hours_in_few_bytes(speech):
    """68 kB that are ten hours of silence: refused where ten minutes are the most, before they are all in memory."""
    request = speaker_pb2.EmbedSpeakerRequest(audio=media_pb2.Audio(content=ten_hours()))
    field, description = await refusal(speech.EmbedSpeaker(request, timeout=SECONDS))
    assert (field, description) == ("audio.content", "takes at most 600 seconds of sound")


async def test_which_of_two_recordings(speech):
    """An error names the recording that is meant."""
    request = speaker_pb2.VerifySpeakerRequest(
        audio=media_pb2.Audio(content=sample("ask-not.wav")), other_audio=media_pb2.Audio(content=wav(rate=1))
    )
    assert (await refusal(speech.VerifySpeaker(request, timeout=SECONDS)))[0] == "other_audio.content"
    request.other_audio.content = wav()
    code, info, _, _ = await failure(speech.VerifySpeaker(request, timeout=SECONDS))
    assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TOO_LITTLE_SPEECH")
    assert info.metadata["field"] == "other_audio.content"


def live(*messages: live_pb2.StreamingRecognizeRequest):
    async def read(speech) -> None:
        await received(speech.StreamingRecognize(iter(messages), timeout=SECONDS))

    return read


def config(**options) -> live_pb2.StreamingRecognizeRequest:
    return live_pb2.StreamingRecognizeRequest(
        config=live_pb2.StreamingRecognizeConfig(format=media_pb2.AudioStreamFormat(**options), recorded=True)
    )


def audio(content: bytes) -> live_pb2.StreamingRecognizeRequest:
    return live_pb2.StreamingRecognizeRequest(audio_content=content)


LINEAR16 = media_pb2.AUDIO_STREAM_ENCODING_LINEAR16
MULAW = media_pb2.AUDIO_STREAM_ENCODING_MULAW


@pytest.mark.parametrize(
    ("read", "field", "said"),
    [
        (live(), "config", "required"),
        (live(audio(b"00")), "config", "required"),
        (live(config(), config()), "config", ""),
        (live(config(encoding=LINEAR16), audio(b"00")), "config.format.sample_rate_hertz", "4000 to 192000"),
        (live(config(encoding=MULAW, sample_rate_hertz=2**31 - 1)), "config.format.sample_rate_hertz", "192000"),
        (live(config(encoding=MULAW, sample_rate_hertz=8000, channels=99)), "config.format.channels", "1 to 8"),
        (live(config(sample_rate_hertz=8000)), "config.format.sample_rate_hertz", "container"),
        (live(config(encoding=77, sample_rate_hertz=8000)), "config.format.encoding", "77"),
        (live(config(), audio(b"")), "audio_content", "1048576"),
        (live(config(), audio(bytes(MEBIBYTE + 1))), "audio_content", "1048576"),
        (live(config(), audio(bytes(5000))), "audio_content", "is none of"),
        (live(config(), live_pb2.StreamingRecognizeRequest()), "streaming_request", ""),
    ],
    ids=[
        "nothing", "no configuration", "two", "no rate", "a rate too high", "channels", "a rate with a container",
        "an unknown encoding", "no bytes", "too many bytes", "no container", "an empty message",
    ],
)  # fmt: skip
async def test_streams_that_are_refused(speech, read, field, said):
    """What may not come in a stream is refused with the field and the limit."""
    named, description = await refusal(read(speech))
    assert named == field
    assert said in description


def speak(speech, **options):
    return speech.SynthesizeSpeech(synthesis_pb2.SynthesizeSpeechRequest(**options), timeout=SECONDS)


LAUGHS = '<!DOCTYPE speak [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
) + "]><speak>&j;</speak>"  # fmt: skip


@pytest.mark.parametrize(
    ("options", "field", "said"),
    [
        ({}, "text", "exactly one"),
        ({"text": "Hello.", "ssml": "<speak>Hello.</speak>"}, "text", "exactly one"),
        ({"text": "\N{GRINNING FACE}" * 20}, "text", "nothing that can be spoken"),
        ({"text": " \n\t\u200b"}, "text", "nothing that can be spoken"),
        ({"text": "Hello 😀 привет, \u05e9\u05dc\u05d5\u05dd."}, "text", "cyrillic, hebrew"),
        ({"text": "word " * 209_715}, "text", "takes 1 to 5000 UTF-8 bytes, got 1048575"),
        ({"text": "Hello.", "speaking_rate": float("nan")}, "speaking_rate", "0.5 to 2"),
        ({"text": "Hello.", "sample_rate_hertz": 2**31 - 1}, "sample_rate_hertz", "8000 to 48000"),
        ({"text": "Hello.", "volume_gain_db": float("inf")}, "volume_gain_db", "16"),
        ({"ssml": LAUGHS}, "ssml", ""),
        ({"ssml": '<!DOCTYPE speak SYSTEM "file:///etc/passwd"><speak>Hello.</speak>'}, "ssml", ""),
        ({"ssml": "<speak>" + "<p>" * 900 + "a" + "</p>" * 900 + "</speak>"}, "ssml", "16"),
        ({"ssml": "<speak>" + '<break time="10s"/>' * 400 + "Hello.</speak>"}, "ssml", ""),
        ({"ssml": '<speak>Hello.<audio src="a.wav"/></speak>'}, "ssml", "audio"),
        ({"ssml": "<speak>Hello."}, "ssml", ""),
        ({"ssml": "<speak>" + "a" * 10_000 + "</speak>"}, "ssml", "takes 1 to 10000 UTF-8 bytes"),
    ],
    ids=[
        "nothing", "both", "emoji", "blanks", "scripts", "a megabyte", "no speed", "a rate", "loudness",
        "a billion laughs", "a file", "depth", "an hour of breaks", "a sound", "no end", "a long document",
    ],
)  # fmt: skip
async def test_texts_that_are_refused(speech, options, field, said):
    """What cannot be spoken is refused with the field and the limit."""
    named, description = await refusal(speak(speech, **options))
    assert named == field
    assert said in description


@pytest.mark.parametrize(
    "text",
    [
        "Hello \N{GRINNING FACE}, how are you \U0001f468\u200d\U0001f469\u200d\U0001f467?",
        "Hello 世界, and \u202egoodbye\u202c.",
        "Zalgo: h\u0336\u0321e\u0334\u0322l\u0335\u0323lo " + "\u0301" * 500,
        "a" * 400,
        "!?.," * 300 + " yes",
    ],
    ids=["emoji", "scripts", "marks", "one word", "punctuation"],
)
async def test_texts_that_are_spoken(speech, text):
    """A text with something to say in it is spoken, whatever stands around that."""
    response = await speak(speech, text=text)
    assert 0.3 < to_seconds(response.duration) < 120


async def convert(channel, contents: Sequence[bytes]) -> set[grpc.StatusCode]:
    """Decode all of them, some at once: the codes that came back."""
    stub, free = preprocessing_pb2_grpc.PreprocessingServiceStub(channel), asyncio.Semaphore(8)

    async def one(content: bytes) -> grpc.StatusCode:
        async with free:
            request = preprocessing_pb2.ConvertAudioRequest(
                audio=media_pb2.Audio(content=content), sample_rate_hertz=16_000
            )
            return await stub.ConvertAudio(request, timeout=SECONDS).code()

    return set(await asyncio.gather(*map(one, contents)))


async def test_memory_stays_flat(mesh, channel, speech):
    """Hundreds of damaged recordings, streams and texts leave the processes as large as they were."""
    hostile = [make() for make, _ in REFUSED.values()]

    def contents(seeds: range) -> list[bytes]:
        return [*hostile, *(spoiled(kind, seed) for kind in KINDS for seed in seeds)]

    def sizes() -> dict[str, int]:
        return {name: resident_bytes(mesh.states()[name].pid) for name in ("preprocessing", "speech")}

    async def all_kinds(seeds: range) -> set[grpc.StatusCode]:
        codes = await convert(channel, contents(seeds))
        for content in hostile:
            await failure(recognize(speech, content))
            await failure(live(config(), audio(content or b"0"))(speech))
        await failure(speak(speech, text="word " * 209_715))
        await failure(speak(speech, ssml=LAUGHS))
        return codes

    # The first ones load what they need.
    await all_kinds(range(4))
    before = sizes()
    assert await all_kinds(range(4, 60)) <= {grpc.StatusCode.OK, INVALID}
    grown = {name: size - before[name] for name, size in sizes().items()}
    assert max(grown.values()) < 48 * MEBIBYTE, grown
