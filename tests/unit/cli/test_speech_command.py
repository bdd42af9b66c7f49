"""`maas speech command` and `speaker`."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from google.protobuf.json_format import ParseDict

from maas.speech.v1 import command_pb2 as pb
from maas.speech.v1 import speaker_pb2
from services.cli.speech.grammar import grammar
from tests.unit.cli.fakes import FakeMesh, Maas

TIMER = pb.CommandGrammar(
    commands=[
        pb.Command(intent="timer", phrases=["set a timer for {n} minutes", "{n} minutes"]),
        pb.Command(intent="play", phrases=["play the {rank}"]),
    ],
    slots=[
        pb.CommandSlot(name="n", numbers=pb.SlotNumbers(min=0, max=120)),
        pb.CommandSlot(
            name="rank",
            values=pb.SlotValues(
                values=[pb.SlotValue(value="two", spoken=["two", "deuce"]), pb.SlotValue(value="ace")]
            ),
        ),
    ],
)


def test_a_grammar_is_typed():
    """Phrases of one intent belong together; slots are ranges of numbers, or values with other ways to say them."""
    commands = ["timer: set a timer for {n} minutes", "timer: {n} minutes", "play: play the {rank}"]
    assert grammar(None, commands, ["n=0..120", "rank=two|deuce,ace"]) == TIMER


PLAIN = """
commands: {timer: ["set a timer for {n} minutes", "{n} minutes"], play: "play the {rank}"}
slots: {n: 0..120, rank: [two|deuce, ace]}
"""
PROTOBUF = """
commands:
  - {intent: timer, phrases: ["set a timer for {n} minutes", "{n} minutes"]}
  - {intent: play, phrases: ["play the {rank}"]}
slots:
  - {name: n, numbers: {min: 0, max: 120}}
  - {name: rank, values: {values: [{value: two, spoken: [two, deuce]}, {value: ace}]}}
"""


@pytest.mark.parametrize("text", [PLAIN, PROTOBUF], ids=["plain", "protobuf"])
def test_a_grammar_stands_in_a_file(tmp_path: Path, text: str):
    """YAML in a short form, or as the protobuf JSON of the message."""
    (tmp_path / "g.yaml").write_text(text)
    assert grammar(tmp_path / "g.yaml", [], []) == TIMER


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "no YAML"),
        ("hello", "no grammar"),
        ("commands: 3", "no grammar"),
        ("commands: [{intend: x}]", "no grammar"),
        ("commands: {}", "which commands"),
    ],
)
def test_a_file_that_is_no_grammar_is_wrong_usage(tmp_path: Path, text: str, told: str):
    """What cannot be read as a grammar is told in a sentence."""
    (tmp_path / "g.yaml").write_text(text)
    with pytest.raises(typer.BadParameter, match=told):
        grammar(tmp_path / "g.yaml", [], [])


def test_a_command_is_told(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """Intent, slots and confidence on a line; the options reach the request."""
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    mesh.replies["RecognizeCommand"] = ParseDict(
        {"command": {"intent": "timer", "slots": [{"name": "n", "value": "25"}], "confidence": 0.875}},
        pb.RecognizeCommandResponse(),
    )
    arguments = ["--command", "timer: {n} minutes", "--slot", "n=0..120", "--wake-word", "alexa"]
    result = maas("speech", "command", str(tmp_path / "a.wav"), *arguments)
    assert result.stdout.splitlines()[1].split()[:3] == ["timer", "n=25", "0.88"]
    [request] = mesh.requests
    assert (request.audio.content, request.wake_word, request.grammar.slots[0].numbers.max) == (b"RIFF", "alexa", 120)
    mesh.replies["RecognizeCommand"] = pb.RecognizeCommandResponse(
        no_command_reason=pb.NO_COMMAND_REASON_NOT_RECOGNIZED
    )
    assert "something else is said" in maas("speech", "command", str(tmp_path / "a.wav"), *arguments).stdout


def test_commands_are_told_as_they_come(mesh: FakeMesh, maas: Maas):
    """With --live a line a command, a wake word or an utterance that is none."""
    mesh.replies["StreamingRecognizeCommand"] = [
        ParseDict(each, pb.StreamingRecognizeCommandResponse())
        for each in (
            {"wakeWord": {"name": "alexa", "offset": "1s"}},
            {"speechEvent": {"type": "SPEECH_EVENT_TYPE_SPEECH_START", "offset": "2s"}},
            {
                "command": {
                    "intent": "timer",
                    "slots": [{"name": "n", "value": "25"}],
                    "startOffset": "2s",
                    "confidence": 0.875,
                }
            },
            {"unrecognized": {"startOffset": "5s", "reason": "NO_COMMAND_REASON_NO_SPEECH"}},
            {"end": {"duration": "9s"}},
        )
    ]
    result = maas("speech", "command", "-", "--live", "--raw", "16000", "--command", "a: b", stdin=b"abcd")
    assert [line.split(maxsplit=1) for line in result.stdout.splitlines()] == [
        ["0:01.0", "-- alexa"],
        ["0:02.0", "timer  n=25  (0.88)"],
        ["0:05.0", "-- no command: nobody speaks"],
        ["0:09.0", "end"],
    ]


def test_a_vector_of_a_voice_is_written_and_read(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """What `embed` prints, `verify` takes back to the last bit; too little speech is told."""
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    vector = speaker_pb2.EmbedSpeakerResponse(embedding=[1 / 3, -2 / 3])
    vector.speech_duration.seconds = 2
    mesh.replies["EmbedSpeaker"] = vector
    result = maas("speech", "speaker", "embed", str(tmp_path / "a.wav"))
    assert "2.0 s of speech: below 5 s this tells little" in result.stderr
    (tmp_path / "a.txt").write_text(result.stdout)
    mesh.replies["VerifySpeaker"] = speaker_pb2.VerifySpeakerResponse(similarity=0.25, threshold=0.75)
    result = maas("speech", "speaker", "verify", str(tmp_path / "a.wav"), "--vector", str(tmp_path / "a.txt"))
    assert result.stdout.splitlines()[1].split()[:3] == ["no", "0.250", "0.750"]
    assert mesh.requests[-1].other_embedding.embedding == vector.embedding
    (tmp_path / "a.txt").write_text("hello")
    assert (
        maas("speech", "speaker", "verify", str(tmp_path / "a.wav"), "--vector", str(tmp_path / "a.txt")).exit_code == 2
    )
