"""`maas speech speak` and `voices`."""

from __future__ import annotations

import io
import json
import wave
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseDict

from maas.speech.v1 import synthesis_pb2 as pb
from services.cli.sounds import wav_header
from tests.unit.cli.fakes import FakeMesh, Maas

SPOKEN = [
    pb.StreamingSynthesizeResponse(sentence=pb.SpokenSentence(text="Hello there.")),
    pb.StreamingSynthesizeResponse(audio_content=wav_header(24_000) + b"\1\2"),
    pb.StreamingSynthesizeResponse(audio_content=b"\3\4"),
    ParseDict(
        {"end": {"duration": "1.500s", "sampleRateHertz": 24000, "voice": "heart"}}, pb.StreamingSynthesizeResponse()
    ),
]


def test_speak_writes_the_sound(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """The sound is written to --out, and the table tells how long it is; the options reach the request."""
    mesh.replies["SynthesizeSpeech"] = ParseDict(
        {"audioContent": "UklGRg==", "sampleRateHertz": 24000, "duration": "1.500s", "voice": "heart"},
        pb.SynthesizeSpeechResponse(),
    )
    path = tmp_path / "hello.mp3"
    options = ["--rate", "1.5", "--voice", "heart", "--gain", "-3", "--hertz", "24000"]
    result = maas("speech", "speak", "Hello", "--out", str(path), *options)
    assert path.read_bytes() == b"RIFF"
    assert result.stdout.splitlines()[1].split() == [str(path), "1.50", "24000", "heart"]
    assert mesh.requests == [
        pb.SynthesizeSpeechRequest(
            text="Hello",
            voice="heart",
            speaking_rate=1.5,
            volume_gain_db=-3,
            sample_rate_hertz=24000,
            audio_encoding=pb.AUDIO_ENCODING_MP3,
        )
    ]


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("a.wav", pb.AUDIO_ENCODING_WAV),
        ("a.FLAC", pb.AUDIO_ENCODING_FLAC),
        ("a.ogg", pb.AUDIO_ENCODING_OGG_OPUS),
        ("a.raw", pb.AUDIO_ENCODING_LINEAR16),
    ],
)
def test_the_name_of_the_file_says_how_sound_is_stored(
    mesh: FakeMesh, maas: Maas, tmp_path: Path, name: str, encoding: int
):
    """The suffix chooses the encoding, unless --encoding does."""
    mesh.replies["SynthesizeSpeech"] = pb.SynthesizeSpeechResponse(audio_content=b"RIFF")
    maas("speech", "speak", "Hello", "--out", str(tmp_path / name))
    maas("speech", "speak", "Hello", "--out", str(tmp_path / name), "--encoding", "alaw")
    assert [each.audio_encoding for each in mesh.requests] == [encoding, pb.AUDIO_ENCODING_ALAW]


def test_speak_to_standard_output(mesh: FakeMesh, maas: Maas):
    """--out - writes the sound to standard output and nothing else, so that it can be piped to a player."""
    mesh.replies["SynthesizeSpeech"] = pb.SynthesizeSpeechResponse(audio_content=b"RIFF\xff\x00")
    assert maas("speech", "speak", "Hello", "--out", "-").stdout_bytes == b"RIFF\xff\x00"


def test_ssml_is_sent_as_such(mesh: FakeMesh, maas: Maas):
    """--ssml sends the text as SSML, also all of standard input."""
    mesh.replies["SynthesizeSpeech"] = pb.SynthesizeSpeechResponse()
    maas("speech", "speak", "<speak/>", "--ssml", "--json")
    maas("speech", "speak", "-", "--ssml", "--json", stdin="<speak>\n</speak>")
    assert [each.ssml for each in mesh.requests] == ["<speak/>", "<speak>\n</speak>"]


def test_speak_into_a_missing_folder(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """A path that cannot be written is wrong usage, told in a sentence."""
    mesh.replies["SynthesizeSpeech"] = pb.SynthesizeSpeechResponse(audio_content=b"RIFF")
    for text in ("Hello", "-"):
        result = maas("speech", "speak", text, "--out", str(tmp_path / "none" / "hello.wav"), stdin="Hello")
        assert result.exit_code == 2
        assert "cannot be written" in " ".join(result.stderr.split())


def test_what_is_being_written_is_spoken(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """Standard input goes out in pieces; the WAV file that comes back gets its length at the end."""
    mesh.replies["StreamingSynthesize"] = SPOKEN
    path = tmp_path / "hello.wav"
    result = maas("speech", "speak", "-", "--out", str(path), "--voice", "heart", stdin="Grüße")
    config, *pieces = mesh.requests
    assert config.config == pb.StreamingSynthesizeConfig(voice="heart", audio_encoding=pb.AUDIO_ENCODING_WAV)
    assert "".join(each.text for each in pieces) == "Grüße"
    with wave.open(io.BytesIO(path.read_bytes())) as written:
        assert (written.getframerate(), written.readframes(9)) == (24_000, b"\1\2\3\4")
    assert "0:00.0  Hello there." in result.stderr
    assert result.stdout.splitlines()[1].split() == [str(path), "1.50", "24000", "heart"]


def test_what_is_being_spoken_can_be_piped(mesh: FakeMesh, maas: Maas):
    """To standard output the sound goes as it comes; with --json each answer is a line."""
    mesh.replies["StreamingSynthesize"] = SPOKEN
    assert maas("speech", "speak", "-", "--out", "-", stdin="Hi").stdout_bytes == wav_header(24_000) + b"\1\2\3\4"
    lines = maas("speech", "speak", "-", "--json", stdin="Hi").stdout.splitlines()
    assert [next(iter(json.loads(line))) for line in lines] == ["sentence", "audioContent", "audioContent", "end"]


def test_voices_are_listed(mesh: FakeMesh, maas: Maas):
    """A line a voice: its name, languages, how it sounds, its model."""
    mesh.replies["ListVoices"] = pb.ListVoicesResponse(
        voices=[
            pb.Voice(
                name="heart",
                language_codes=["en-US"],
                model="hibari",
                sample_rate_hertz=24000,
                gender=pb.VOICE_GENDER_FEMALE,
            )
        ]
    )
    result = maas("speech", "voices", "--language", "en")
    assert result.stdout.splitlines()[1].split() == ["heart", "en-US", "female", "hibari", "24000"]
    assert mesh.requests == [pb.ListVoicesRequest(language_code="en")]
