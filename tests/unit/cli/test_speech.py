"""`maas speech`."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.json_format import ParseDict

from maas.speech.v1 import speech_pb2 as pb
from tests.unit.cli.fakes import FakeMesh, Maas

HEARD = ParseDict(
    {
        "transcript": "Go forward.",
        "segments": [
            {
                "transcript": "Go forward.",
                "confidence": 0.8,
                "startOffset": "0.100s",
                "endOffset": "1.250s",
                "words": [
                    {"word": "Go", "confidence": 0.9, "startOffset": "0.100s", "endOffset": "0.400s"},
                    {"word": "forward.", "confidence": 0.7, "startOffset": "0.500s", "endOffset": "1.250s"},
                ],
            }
        ],
    },
    pb.RecognizeResponse(),
)


def test_recognize_prints_segments(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """A line a segment with seconds and confidence; word times are not asked for."""
    (tmp_path / "go.wav").write_bytes(b"RIFF")
    mesh.replies["Recognize"] = HEARD
    result = maas("speech", "recognize", str(tmp_path / "go.wav"), "--language", "en")
    assert result.stdout.splitlines()[1].split() == ["0.10", "1.25", "0.80", "Go", "forward."]
    [request] = mesh.requests
    assert (request.audio.content, request.language_code, request.enable_word_time_offsets) == (b"RIFF", "en", False)


def test_recognize_prints_words(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """--words asks for word times and prints a line a word."""
    (tmp_path / "go.wav").write_bytes(b"RIFF")
    mesh.replies["Recognize"] = HEARD
    result = maas("speech", "recognize", str(tmp_path / "go.wav"), "--words")
    words = [line.split() for line in result.stdout.splitlines()[1:]]
    assert [(word[0], word[1], word[-1]) for word in words] == [("0.10", "0.40", "Go"), ("0.50", "1.25", "forward.")]
    assert mesh.requests[0].enable_word_time_offsets


def test_silence_is_told(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """A recording in which nothing is said says so on standard error instead of printing nothing."""
    (tmp_path / "hush.wav").write_bytes(b"RIFF")
    mesh.replies["Recognize"] = pb.RecognizeResponse()
    assert "nothing was said" in maas("speech", "recognize", str(tmp_path / "hush.wav")).stderr


def test_synthesize_writes_the_sound(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """The sound is written to --out, and the table tells how long it is."""
    mesh.replies["SynthesizeSpeech"] = ParseDict(
        {"audioContent": "UklGRg==", "sampleRateHertz": 24000, "duration": "1.500s", "voice": "heart"},
        pb.SynthesizeSpeechResponse(),
    )
    path = tmp_path / "hello.wav"
    result = maas("speech", "synthesize", "Hello", "--out", str(path), "--rate", "1.5", "--voice", "heart")
    assert path.read_bytes() == b"RIFF"
    assert result.stdout.splitlines()[1].split() == [str(path), "1.50", "24000", "heart"]
    assert mesh.requests == [pb.SynthesizeSpeechRequest(text="Hello", voice="heart", speaking_rate=1.5)]


def test_synthesize_to_standard_output(mesh: FakeMesh, maas: Maas):
    """--out - writes the sound to standard output and nothing else, so that it can be piped to a player."""
    mesh.replies["SynthesizeSpeech"] = pb.SynthesizeSpeechResponse(audio_content=b"RIFF\xff\x00")
    assert maas("speech", "synthesize", "Hello", "--out", "-").stdout_bytes == b"RIFF\xff\x00"
    result = maas("speech", "synthesize", "Hello", "--out", "-", "--json")
    assert (result.exit_code, result.stdout) == (2, "")


def test_synthesize_into_a_missing_folder(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """A path that cannot be written is wrong usage, told in a sentence."""
    mesh.replies["SynthesizeSpeech"] = pb.SynthesizeSpeechResponse(audio_content=b"RIFF")
    result = maas("speech", "synthesize", "Hello", "--out", str(tmp_path / "none" / "hello.wav"))
    assert result.exit_code == 2
    assert "cannot be written" in " ".join(result.stderr.split())
