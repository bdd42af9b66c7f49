"""`maas preprocess`."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import av
from google.rpc.status_pb2 import Status
from PIL import Image

from maas.preprocessing.v1 import preprocessing_pb2 as pb
from maas.type.v1 import model_pb2, tensor_pb2
from tests.unit.cli.fakes import FakeMesh, Maas


def int64(*rows: list[int]) -> tensor_pb2.Tensor:
    """An INT64 tensor of rows."""
    content = b"".join(struct.pack(f"<{len(row)}q", *row) for row in rows)
    return tensor_pb2.Tensor(data_type=tensor_pb2.DATA_TYPE_INT64, shape=[len(rows), len(rows[0])], content=content)


def test_normalize_prints_the_texts(mesh: FakeMesh, maas: Maas):
    """Cleaned texts come out one a line, with nothing around them; the options reach the request."""
    mesh.replies["NormalizeText"] = pb.NormalizeTextResponse(contents=["ab", "cd"])
    result = maas("preprocess", "normalize", "a", "c", "--form", "nfkc", "--fold-case", "--keep-line-breaks")
    assert result.stdout == "ab\ncd\n"
    assert mesh.requests == [
        pb.NormalizeTextRequest(
            contents=["a", "c"], unicode_form=pb.UNICODE_FORM_NFKC, fold_case=True, keep_line_breaks=True
        )
    ]


def test_tokenize_prints_ids_without_padding(mesh: FakeMesh, maas: Maas):
    """A line a text: its own ids only, and whether it was cut."""
    mesh.replies["TokenizeText"] = pb.TokenizeTextResponse(
        input_ids=int64([101, 7592, 102], [101, 102, 0]),
        attention_mask=int64([1, 1, 1], [1, 1, 0]),
        truncated=[True, False],
    )
    result = maas("preprocess", "tokenize", "hello", "x", "--tokenizer", "minilm-l6", "--max-tokens", "3")
    assert [line.split() for line in result.stdout.splitlines()[1:]] == [
        ["3", "yes", "101", "7592", "102", "hello"],
        ["2", "no", "101", "102", "x"],
    ]
    assert (mesh.requests[0].tokenizer, mesh.requests[0].max_tokens) == ("minilm-l6", 3)


def test_segment_prints_sentences(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """A line a sentence with its place, over typed texts and files; a text that failed says why."""
    mesh.replies["SegmentText"] = pb.SegmentTextResponse(
        results=[
            pb.SegmentedText(sentences=[pb.Sentence(begin=0, end=3), pb.Sentence(begin=4, end=7)]),
            pb.SegmentedText(status=Status(code=3, message="contents[1]: takes 1 to 131072 UTF-8 bytes, got 0")),
        ]
    )
    (tmp_path / "two.txt").write_text("\u597d", encoding="utf-8")
    result = maas("preprocess", "segment", "Hi. Ho.", "--file", str(tmp_path / "two.txt"), "--language", "en")
    assert [line.split() for line in result.stdout.splitlines()[1:3]] == [
        ["1", "0", "3", "Hi."],
        ["1", "4", "7", "Ho."],
    ]
    assert "contents[1]: takes 1 to 131072 UTF-8 bytes" in result.stdout.splitlines()[3]
    assert mesh.requests == [pb.SegmentTextRequest(contents=["Hi. Ho.", "\u597d"], language_codes=["en", "en"])]
    maas("preprocess", "segment", "Hi.")
    assert mesh.requests[1] == pb.SegmentTextRequest(contents=["Hi."])


def test_detect_language_prints_languages(mesh: FakeMesh, maas: Maas):
    """A line a text: its language, how sure, and what else it may be; one that is not known says so."""
    mesh.replies["DetectLanguage"] = pb.DetectLanguageResponse(
        results=[
            pb.DetectedLanguage(
                language_code="pt",
                confidence=0.75,
                alternatives=[pb.LanguageCandidate(language_code="gl", confidence=0.125)],
            ),
            pb.DetectedLanguage(),
            pb.DetectedLanguage(status=Status(code=3, message="too long")),
        ]
    )
    result = maas("preprocess", "detect-language", "-", "--model", "lid-176", stdin="Tudo bem?\n123\n\nx\n")
    assert [line.split() for line in result.stdout.splitlines()[1:]] == [
        ["pt", "0.75", "gl", "0.12", "Tudo", "bem?"],
        ["unknown", "0.00", "123"],
        ["failed", "too", "long", "(x)"],
    ]
    assert mesh.requests == [pb.DetectLanguageRequest(contents=["Tudo bem?", "123", "x"], model="lid-176")]


def test_image_saves_the_pixels(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """--save writes exactly the pixels that came back."""
    photo, saved = tmp_path / "photo.jpg", tmp_path / "out.png"
    photo.write_bytes(b"jpeg")
    red, blue = b"\xff\x00\x00", b"\x00\x00\xff"
    mesh.replies["TransformImage"] = pb.TransformImageResponse(
        pixels=tensor_pb2.Tensor(data_type=tensor_pb2.DATA_TYPE_UINT8, shape=[1, 2, 3], content=red + blue),
        source_width=20,
        source_height=10,
        source_format="JPEG",
    )
    arguments = ["--width", "2", "--height", "1", "--fit", "cover", "--crop-fraction", "0.5", "--save", str(saved)]
    result = maas("preprocess", "image", str(photo), *arguments)
    assert result.stdout.splitlines()[1].split()[:7] == ["2", "x", "1", "20", "x", "10", "JPEG"]
    assert Image.open(saved).tobytes() == red + blue
    [request] = mesh.requests
    assert (request.width, request.height, request.fit, request.crop_fraction) == (2, 1, pb.FIT_COVER, 0.5)


def test_audio_saves_the_samples(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """--save writes a WAV file that others open and that has exactly the samples that came back."""
    recording, saved = tmp_path / "go.mp3", tmp_path / "out.wav"
    recording.write_bytes(b"mp3")
    samples = struct.pack("<4f", 0, 0.5, -0.5, 1)
    mesh.replies["ConvertAudio"] = pb.ConvertAudioResponse(
        samples=tensor_pb2.Tensor(data_type=tensor_pb2.DATA_TYPE_FLOAT32, shape=[4], content=samples),
        sample_rate_hertz=8000,
        source_sample_rate_hertz=44100,
        source_channels=2,
        source_codec="mp3",
    )
    result = maas("preprocess", "audio", str(recording), "--rate", "8000", "--save", str(saved))
    assert result.stdout.splitlines()[1].split() == ["4", "8000", "0.00", "mp3", "44100", "2"]
    with av.open(io.BytesIO(saved.read_bytes())) as opened:
        assert opened.streams.audio[0].rate == 8000
        assert b"".join(bytes(frame.to_ndarray().tobytes()) for frame in opened.decode(audio=0)) == samples


def test_config_lists_names(mesh: FakeMesh, maas: Maas):
    """Tokenizers, formats and models, a line each."""
    mesh.replies["GetPreprocessingConfig"] = pb.GetPreprocessingConfigResponse(
        tokenizers=["minilm-l6"],
        image_formats=["JPEG", "PNG"],
        audio_formats=["wav"],
        models=[model_pb2.ModelInfo(name="lid-176")],
    )
    assert [line.split() for line in maas("preprocess", "config").stdout.splitlines()[1:]] == [
        ["tokenizers", "minilm-l6"],
        ["picture", "formats", "JPEG,", "PNG"],
        ["audio", "formats", "wav"],
        ["models", "lid-176"],
    ]
