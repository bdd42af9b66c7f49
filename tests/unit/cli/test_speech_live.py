"""`maas speech transcribe` and `listen`."""

from __future__ import annotations

import _thread
import io
import json
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from rich.console import Console

from maas.preprocessing.v1 import preprocessing_pb2
from maas.speech.v1 import live_pb2 as pb
from maas.speech.v1 import transcript_pb2
from maas.type.v1 import media_pb2
from services.cli.sounds import wav_header
from services.cli.speech.measures import Measures
from services.cli.speech.screen import Screen
from services.mesh import errors
from services.mesh.status import to_status
from tests.unit.cli.fakes import FakeMesh, Maas

SESSION = "8f14e45f-ceea-467f-9575-1f5bb4d0e3a2"


def answer(**fields: object) -> pb.StreamingRecognizeResponse:
    """An answer, as JSON has its fields."""
    return ParseDict({"sessionId": SESSION, **fields}, pb.StreamingRecognizeResponse())


def final(text: str, begin: float, end: float, **fields: object) -> pb.StreamingRecognizeResponse:
    """A final result."""
    times = {"resultStartOffset": f"{begin}s", "resultEndOffset": f"{end}s"}
    return answer(result={"transcript": text, "isFinal": True, "languageCode": "en", **times, **fields})


def interim(text: str, stable: str, end: float) -> pb.StreamingRecognizeResponse:
    """An interim result."""
    return answer(result={"transcript": text, "stableTranscript": stable, "resultEndOffset": f"{end}s"})


def event(kind: str, offset: float) -> pb.StreamingRecognizeResponse:
    """Something that happens in the sound."""
    return answer(speechEvent={"type": f"SPEECH_EVENT_TYPE_{kind}", "offset": f"{offset}s"})


END = answer(end={"duration": "9s", "finalResults": 2, "model": "m"})
SAID = [final("Good morning.", 0.5, 1.5), event("END_OF_TURN", 3), final("How are you?", 4, 5), END]


@pytest.fixture
def recording(tmp_path: Path) -> str:
    """A tenth of a second of silence."""
    path = tmp_path / "a.wav"
    path.write_bytes(wav_header(16_000) + bytes(3200))
    return str(path)


def test_transcribe_prints_a_line_an_utterance(mesh: FakeMesh, maas: Maas, recording: str):
    """Text goes to standard output, times to standard error; the options reach the configuration."""
    mesh.replies["StreamingRecognize"] = SAID
    result = maas("speech", "transcribe", recording, "--language", "en", "--hint", "Ada", "--model", "m")
    assert result.stdout == "Good morning.\nHow are you?\n"
    assert "0:09.0 of sound" in result.stderr
    assert mesh.requests[0].config == pb.StreamingRecognizeConfig(
        format=media_pb2.AudioStreamFormat(
            encoding=media_pb2.AUDIO_STREAM_ENCODING_LINEAR16, sample_rate_hertz=16_000, channels=1
        ),
        language_code="en",
        phrase_hints=["Ada"],
        recorded=True,
        model="m",
    )


def test_transcribe_writes_captions(mesh: FakeMesh, maas: Maas, recording: str, tmp_path: Path):
    """Captions of the results one after the other are one file."""
    captions = ["1\n00:00:00,500 --> 00:00:01,500\nGood morning.\n\n", "2\n00:00:04,000 --> 00:00:05,000\nHow?\n\n"]
    mesh.replies["StreamingRecognize"] = [*(final("x", 0, 1, captions=each) for each in captions), END]
    assert maas("speech", "transcribe", recording, "--captions", "srt").stdout == "".join(captions)
    maas("speech", "transcribe", recording, "--captions", "vtt", "--out", str(tmp_path / "a.vtt"))
    assert (tmp_path / "a.vtt").read_text() == "".join(captions)
    formats = [each.config.caption_format for each in mesh.requests if each.HasField("config")]
    assert formats == [transcript_pb2.CAPTION_FORMAT_SRT, transcript_pb2.CAPTION_FORMAT_VTT]


def test_a_pipe_is_transcribed(mesh: FakeMesh, maas: Maas):
    """Standard input may be a WAV file, or sound without a header when --raw tells what it is."""
    mesh.replies["StreamingRecognize"] = SAID
    maas("speech", "transcribe", "-", stdin=wav_header(16_000) + b"abcd")
    maas("speech", "transcribe", "-", "--raw", "8000", "--encoding", "mulaw", stdin=b"efgh")
    first, sound, second, raw = mesh.requests
    assert (first.config.format.sample_rate_hertz, sound.audio_content) == (16_000, b"abcd")
    assert (second.config.format.encoding, raw.audio_content) == (media_pb2.AUDIO_STREAM_ENCODING_MULAW, b"efgh")


def test_silence_is_told(mesh: FakeMesh, maas: Maas, recording: str):
    """A recording in which nothing is said says so on standard error."""
    mesh.replies["StreamingRecognize"] = [END]
    result = maas("speech", "transcribe", recording)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "nothing was said" in result.stderr


def test_a_broken_transcript_goes_on(mesh: FakeMesh, maas: Maas, recording: str):
    """A server that drains in the middle is told on standard error; the text has everything once."""
    drained = to_status(errors.Unavailable("it stops", reason="DRAINING", retry_after_seconds=0))
    replies: list[list[Message | Status]] = [[SAID[0], drained], SAID[2:]]
    mesh.replies["StreamingRecognize"] = lambda *_: iter(replies.pop(0))
    result = maas("speech", "transcribe", recording)
    assert result.stdout == "Good morning.\nHow are you?\n"
    assert "the connection broke (UNAVAILABLE); going on in" in result.stderr
    configs = [each.config for each in mesh.requests if each.HasField("config")]
    assert [(each.resume.session_id, each.resume.final_results) for each in configs] == [("", 0), (SESSION, 1)]


@pytest.mark.parametrize("command", ["transcribe", "listen"])
def test_a_refusal_is_explained_at_once(mesh: FakeMesh, maas: Maas, recording: str, command: str, unused_address: str):
    """A mesh that is full, or not there, is told at once, with what to do, and the exit code is 1."""
    full = errors.Exhausted("no more live streams", retry_after_seconds=7)
    mesh.replies["StreamingRecognize"] = [to_status(full)]
    result = maas("speech", command, recording)
    assert result.exit_code == 1
    assert "RESOURCE_EXHAUSTED: no more live streams" in result.stderr
    assert "may succeed in 7 s" in result.stderr
    result = maas("speech", command, recording, "--address", unused_address)
    assert result.exit_code == 1
    assert "start the mesh with: maas up" in result.stderr


def test_listen_prints_what_is_final(mesh: FakeMesh, maas: Maas, recording: str):
    """Where no terminal is, only what stays is printed: final text with its time, and ends of turns."""
    mesh.replies["StreamingRecognize"] = [interim("Good", "", 1), *SAID]
    result = maas("speech", "listen", recording)
    assert [line.split(maxsplit=1) for line in result.stdout.splitlines()] == [
        ["0:00.5", "Good morning."],
        ["0:03.0", "-- end of turn"],
        ["0:04.0", "How are you?"],
    ]
    assert "2 utterances · language en" in result.stderr
    assert mesh.requests[0].config.interim_results
    assert b"".join(each.audio_content for each in mesh.requests[1:]) == bytes(3200)


def test_a_container_is_decoded_by_the_mesh(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """What does not tell its rate by its bytes is decoded first, so that it can be sent as fast as it sounds."""
    (tmp_path / "a.mp3").write_bytes(b"ID3 and so on")
    mesh.replies["StreamingConvertAudio"] = [
        preprocessing_pb2.StreamingConvertAudioResponse(piece=preprocessing_pb2.AudioPiece(content=bytes(400))),
        preprocessing_pb2.StreamingConvertAudioResponse(end=preprocessing_pb2.AudioEnd()),
    ]
    mesh.replies["StreamingRecognize"] = SAID
    assert maas("speech", "listen", str(tmp_path / "a.mp3")).exit_code == 0
    live = [each for each in mesh.requests if isinstance(each, pb.StreamingRecognizeRequest)]
    assert live[0].config.format.encoding == media_pb2.AUDIO_STREAM_ENCODING_FLOAT32
    assert b"".join(each.audio_content for each in live[1:]) == bytes(400)
    mesh.replies["StreamingConvertAudio"] = [Status(code=3, message="content: is no sound")]
    result = maas("speech", "listen", str(tmp_path / "a.mp3"))
    assert result.exit_code == 1
    assert "INVALID_ARGUMENT: content: is no sound" in result.stderr


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C counts, also where the tests run in the background of a shell that has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_stops_a_transcript(mesh: FakeMesh, maas: Maas, recording: str):
    """Ctrl-C while a file is transcribed cancels the call at the server and ends the command with code 130."""
    cancelled = threading.Event()

    def endless(_: Message, context: grpc.ServicerContext) -> Iterator[Message]:
        context.add_callback(cancelled.set)
        yield SAID[0]
        _thread.interrupt_main()
        cancelled.wait(10)

    mesh.replies["StreamingRecognize"] = endless
    result = maas("speech", "transcribe", recording)
    assert (result.exit_code, "stopped" in result.stderr) == (130, True)
    assert cancelled.wait(10)


def test_a_terminal_shows_what_is_being_said():
    """Below the lines that are final stands what is being said, with firm words first, and how late it is."""
    out = Console(file=io.StringIO(), force_terminal=True, width=80, color_system="standard")
    with Screen(out) as screen:
        screen.show(event("SPEECH_START", 0.5))
        screen.show(interim("Good mourning", "Good", 1))
        shown = interim("Good morning to", "Good morning", 2)
        shown.lag.seconds = 3
        screen.show(shown)
        screen.show(event("SPEECH_END", 2))
        screen.show(SAID[0])
    text = out.file.getvalue()
    assert "\x1b[1mGood\x1b[0m\x1b[2m mourning" in text
    assert "\x1b[1mGood morning\x1b[0m\x1b[2m to" in text
    assert "(3.0 s behind)" in text
    assert "Good morning.\n" in text


async def test_measures_are_those_of_whoever_looks_on():
    """From the beginning of speech to its first text, from its end to the final one, and words that were taken back."""
    now = 100.0
    measures = Measures(lambda: now)

    async def sound() -> AsyncIterator[bytes]:
        yield b"a"

    assert [each async for each in measures.timed(sound())] == [b"a"]
    for moment, each in [
        (101.0, event("SPEECH_START", 1.0)),
        (102.5, interim("good mourning", "", 2)),
        (103.0, interim("Good morning to", "", 2.5)),
        (104.0, event("SPEECH_END", 3.5)),
        # The next one begins before the first is final.
        (104.2, event("SPEECH_START", 4.2)),
        (104.5, final("Good morning.", 1, 3.6)),
        (106.2, interim("how", "how", 5)),
        (106.5, event("SPEECH_END", 6.0)),
        (107.0, final("How are you?", 4, 6)),
        (109.0, END),
    ]:
        now = moment
        measures.see(each)
    assert measures.first == pytest.approx([1.5, 2.0])
    assert measures.final == pytest.approx([1.0, 1.0])
    assert (measures.retracted, measures.shown) == (2, 5)
    assert "2 of 5 words were taken back" in measures.summary()


def test_json_is_a_line_an_answer(mesh: FakeMesh, maas: Maas, recording: str):
    """With --json interim results are there too."""
    mesh.replies["StreamingRecognize"] = [interim("Good", "", 1), *SAID]
    lines = [json.loads(line) for line in maas("speech", "listen", recording, "--json").stdout.splitlines()]
    assert [each.get("result", {}).get("transcript", "") for each in lines] == [
        "Good", "Good morning.", "", "How are you?", "",
    ]  # fmt: skip
