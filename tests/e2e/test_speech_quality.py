"""Known recordings, and error rates, places and voices that a person would accept; through the gateway."""

from __future__ import annotations

import io
import re
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import grpc
import jiwer
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from maas.preprocessing.v1 import preprocessing_pb2, preprocessing_pb2_grpc
from maas.speech.v1 import live_pb2, speaker_pb2, speech_pb2, speech_pb2_grpc, synthesis_pb2
from maas.type.v1 import media_pb2
from services.mesh.durations import to_seconds

ROOT = Path(__file__).parents[2]
SAMPLES = {
    each["name"]: each["expect"]
    for each in yaml.safe_load((ROOT / "deploy/models/samples.yaml").read_text())["samples"]
    if each["kind"] == "recording"
}
# go-forward.raw has no header that Recognize could read.
RECORDINGS = [name for name, expect in SAMPLES.items() if "encoding" not in expect]
SENSIBLE = [name for name, expect in SAMPLES.items() if expect["set"] == "librivox"]
HERTZ = 16_000
SECONDS = 60
# Numbers are written in figures, Mister with two letters; the transcripts have words.
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
FIGURES = {"mr": "mister", **{str(number): word for number, word in enumerate(NUMBERS)}}


def plain(text: str) -> str:
    """Without case, punctuation and hyphens, and figures as words, as error rates are counted."""
    words = re.findall(r"[\w']+", text.lower())
    return " ".join(FIGURES.get(word, word) for word in words)


def word_error_rate(said: Sequence[str], heard: Sequence[str]) -> float:
    return jiwer.wer([plain(text) for text in said], [plain(text) for text in heard])


def character_error_rate(said: str, heard: str) -> float:
    return jiwer.cer(plain(said).replace(" ", ""), plain(heard).replace(" ", ""))


def content(name: str) -> bytes:
    return (ROOT / ".build/samples" / name).read_bytes()


def samples(name: str) -> NDArray[np.int16]:
    """A recording of 16,000 samples a second, as they are."""
    if name.endswith(".raw"):
        return np.frombuffer(content(name), "<i2")
    with wave.open(io.BytesIO(content(name))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (HERTZ, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def wav(sound: NDArray[np.int16]) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(HERTZ)
        writer.writeframes(sound.astype("<i2").tobytes())
    return file.getvalue()


def telephone(sound: NDArray[np.int16]) -> bytes:
    """As a telephone carries it: 8,000 samples a second, mu-law, in a WAV file."""
    file = io.BytesIO()
    with av.open(file, "w", format="wav") as container:
        stream = container.add_stream("pcm_mulaw", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(sound[None], format="s16", layout="mono")
        frame.sample_rate = HERTZ
        resampler = av.AudioResampler("s16", "mono", 8000)
        for each in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(each))
        container.mux(stream.encode(None))
    return file.getvalue()


@pytest.fixture(scope="module")
def channel(mesh) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(mesh.address) as opened:
        yield opened


@pytest.fixture(scope="module")
def speech(channel) -> speech_pb2_grpc.SpeechServiceStub:
    return speech_pb2_grpc.SpeechServiceStub(channel)


def recognize(speech, audio: bytes, **options) -> speech_pb2.RecognizeResponse:
    request = speech_pb2.RecognizeRequest(audio=media_pb2.Audio(content=audio), **options)
    return speech.Recognize(request, timeout=SECONDS)


@pytest.fixture(scope="module")
def heard(speech) -> dict[str, speech_pb2.RecognizeResponse]:
    """What is heard in each recording; two at a time."""
    found = {}
    for pair in (RECORDINGS[start : start + 2] for start in range(0, len(RECORDINGS), 2)):
        calls = {
            name: speech.Recognize.future(
                speech_pb2.RecognizeRequest(
                    audio=media_pb2.Audio(content=content(name)), enable_word_time_offsets=name == "two-cities.wav"
                ),
                timeout=SECONDS,
            )
            for name in pair
        }
        found |= {name: call.result() for name, call in calls.items()}
    return found


# Of all English recordings of a set. The cards are short, their "clubs" sound like cloves; the women of the call talk
# at the same time.
@pytest.mark.parametrize(("group", "most"), [("librivox", 0.05), ("cards", 0.15), ("misc", 0.03), ("call", 0.25)])
def test_words_are_understood(heard, group, most):
    """Of the words of a set's recordings, not more are wrong than this model was measured to get wrong."""
    names = [name for name in RECORDINGS if SAMPLES[name]["set"] == group]
    rate = word_error_rate([SAMPLES[name]["transcript"] for name in names], [heard[name].transcript for name in names])
    assert rate <= most


@pytest.mark.parametrize(("name", "most"), [("world-zh.wav", 0.25), ("heaven-zh.wav", 0.45), ("world-ja.wav", 0.15)])
def test_characters_are_understood(heard, name, most):
    """Chinese and Japanese, spoken by a synthetic voice; the small model confuses characters that sound alike."""
    assert SAMPLES[name]["synthetic"]
    assert character_error_rate(SAMPLES[name]["transcript"], heard[name].transcript) <= most


@pytest.mark.parametrize(("name", "most"), [("fox-en.wav", 0.0), ("whisky-fr.wav", 0.4)])
def test_synthetic_voices_are_understood(heard, name, most):
    """Pangrams, whose rare words are harder than speech, spoken by a synthetic voice."""
    assert SAMPLES[name]["synthetic"]
    assert word_error_rate([SAMPLES[name]["transcript"]], [heard[name].transcript]) <= most


def test_languages_are_found(heard):
    """Each recording's language, without a hint."""
    assert not [name for name, response in heard.items() if response.language_code != SAMPLES[name]["language"]]


def test_words_come_in_the_order_of_time(heard):
    """Over the seams of a recording that is longer than what the model hears at once, within its length."""
    response = heard["two-cities.wav"]
    words = [word for segment in response.segments for word in segment.words]
    starts = [to_seconds(word.start_offset) for word in words]
    assert starts == sorted(starts)
    assert to_seconds(words[-1].end_offset) <= to_seconds(response.duration) == pytest.approx(44.4, abs=0.1)


def test_phrase_hints_help(speech, heard):
    """With the names of the suits, fewer words of the card phrases are wrong than without."""
    names = ["cards-1.wav", "cards-2.wav", "cards-5.wav"]
    said = [SAMPLES[name]["transcript"] for name in names]
    hints = ["clubs", "spades", "hearts", "diamonds"]
    hinted = [recognize(speech, content(name), phrase_hints=hints).transcript for name in names]
    without = word_error_rate(said, [heard[name].transcript for name in names])
    assert word_error_rate(said, hinted) <= 0.1
    assert word_error_rate(said, hinted) < without


def test_a_telephone_is_understood(speech):
    """At half the rate and in eight bits, nearly all words are as before."""
    response = recognize(speech, telephone(samples("sensible-1.wav")))
    assert word_error_rate([SAMPLES["sensible-1.wav"]["transcript"]], [response.transcript]) <= 0.1


def test_a_long_recording_keeps_words_and_places(speech):
    """Five sentences in two minutes of near silence: each is where it was spoken, and nothing is heard between them."""
    chance = np.random.default_rng(0)
    parts, begins, at = [], [], 0
    for name in SENSIBLE:
        pause = chance.normal(0, 4, 20 * HERTZ).astype(np.int16)
        begins.append((at + len(pause)) / HERTZ)
        parts += [pause, samples(name)]
        at += len(pause) + len(parts[-1])
    response = recognize(speech, wav(np.concatenate(parts)), enable_word_time_offsets=True)
    assert to_seconds(response.duration) == pytest.approx(at / HERTZ, abs=0.01)
    assert at / HERTZ > 120
    words = [(to_seconds(word.start_offset), word.word) for segment in response.segments for word in segment.words]
    spoken = [" ".join(word for start, word in words if begin - 0.5 <= start < begin + 10) for begin in begins]
    assert sum(map(len, spoken)) + len(spoken) - 1 >= len(" ".join(word for _, word in words))
    assert word_error_rate([SAMPLES[name]["transcript"] for name in SENSIBLE], spoken) <= 0.1


def stream(speech, config: live_pb2.StreamingRecognizeConfig, audio: bytes, size: int) -> str:
    """The final transcripts of a recording sent in chunks."""
    requests = [live_pb2.StreamingRecognizeRequest(config=config)] + [
        live_pb2.StreamingRecognizeRequest(audio_content=audio[start : start + size])
        for start in range(0, len(audio), size)
    ]
    answers = list(speech.StreamingRecognize(iter(requests), timeout=SECONDS))
    assert answers[-1].WhichOneof("streaming_response") == "end"
    return " ".join(answer.result.transcript for answer in answers if answer.result.is_final)


def test_a_stream_says_what_a_recording_says(speech, heard):
    """Fed in chunks of odd size, nearly the same words come out as from the whole."""
    config = live_pb2.StreamingRecognizeConfig(recorded=True, language_code="en")
    streamed = stream(speech, config, content("ask-not.wav"), 7_777)
    assert word_error_rate([heard["ask-not.wav"].transcript], [streamed]) <= 0.1


def test_samples_without_a_container(speech):
    """A stream of plain samples whose rate the configuration tells."""
    expect = SAMPLES["go-forward.raw"]
    config = live_pb2.StreamingRecognizeConfig(
        recorded=True,
        format=media_pb2.AudioStreamFormat(
            encoding=media_pb2.AUDIO_STREAM_ENCODING_LINEAR16, sample_rate_hertz=expect["sample_rate_hertz"]
        ),
    )
    assert word_error_rate([expect["transcript"]], [stream(speech, config, content("go-forward.raw"), 3_201)]) == 0


ENGLISH = "The train to the coast leaves from the last platform on the left."
CHINESE = "今天天气很好，我们去公园散步吧。"


@pytest.mark.parametrize(
    ("model", "text"), [("hibari", ENGLISH), ("kokoro", ENGLISH), ("kokoro", CHINESE)], ids=["hibari", "kokoro", "zh"]
)
def test_what_is_spoken_is_understood(speech, model, text):
    """What the mesh speaks, the mesh hears."""
    spoken = speech.SynthesizeSpeech(synthesis_pb2.SynthesizeSpeechRequest(text=text, model=model), timeout=SECONDS)
    response = recognize(speech, spoken.audio_content)
    assert to_seconds(response.duration) == pytest.approx(to_seconds(spoken.duration), abs=0.01)
    if text is CHINESE:
        assert response.language_code == "zh"
        assert character_error_rate(text, response.transcript) <= 0.2
    else:
        assert word_error_rate([text], [response.transcript]) <= 0.1


def test_slow_speech_takes_longer(speech):
    """Half the speed takes about twice the time."""

    def seconds(rate: float) -> float:
        request = synthesis_pb2.SynthesizeSpeechRequest(text="Good morning to you all.", speaking_rate=rate)
        return to_seconds(speech.SynthesizeSpeech(request, timeout=SECONDS).duration)

    assert 1.5 <= seconds(0.5) / seconds(1) <= 2.5


def test_speech_is_told_from_silence(channel):
    """Of the call, what is speech and what is not agrees with the published turns to 95 parts of a hundred (F1)."""
    config = preprocessing_pb2.DetectSpeechConfig()
    audio = content("call.wav")
    requests = [preprocessing_pb2.DetectSpeechRequest(config=config)] + [
        preprocessing_pb2.DetectSpeechRequest(content=audio[start : start + 65_536])
        for start in range(0, len(audio), 65_536)
    ]
    stub = preprocessing_pb2_grpc.PreprocessingServiceStub(channel)
    answers = list(stub.DetectSpeech(iter(requests), timeout=SECONDS))
    found, turns = np.zeros((2, 3000), bool)
    for answer in answers:
        if answer.WhichOneof("streaming_response") == "speech":
            found[
                round(to_seconds(answer.speech.start_offset) * 100) : round(to_seconds(answer.speech.end_offset) * 100)
            ] = True
    for start, end, _ in SAMPLES["call.wav"]["turns"]:
        turns[round(start * 100) : round(end * 100)] = True
    assert 2 * (found & turns).sum() / (found.sum() + turns.sum()) >= 0.95


@pytest.mark.parametrize(
    ("other", "same"), [("sensible-4.wav", True), ("ask-not.wav", False), ("two-cities.wav", False)]
)
def test_voices_are_told_apart(speech, other, same):
    """The reader of one sentence is the reader of another one, and no one else."""
    request = speaker_pb2.VerifySpeakerRequest(
        audio=media_pb2.Audio(content=content("sensible-1.wav")), other_audio=media_pb2.Audio(content=content(other))
    )
    response = speech.VerifySpeaker(request, timeout=SECONDS)
    assert response.same_speaker is same
    assert to_seconds(response.speech_duration) > 4


def test_the_weakness_of_voices_is_told(speech):
    """GetSpeechConfig tells that two voices over one telephone line are taken for one."""
    models = speech.GetSpeechConfig(speech_pb2.GetSpeechConfigRequest(), timeout=SECONDS).models
    (model,) = (each for each in models if each.task == "speaker-embedding")
    assert model.metrics["impostors_accepted_one_telephone_line"] > 0.5
    assert "No security factor" in model.summary
