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
