"""`maas preprocess`."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import av
from PIL import Image

from maas.preprocessing.v1 import preprocessing_pb2 as pb
from maas.type.v1 import tensor_pb2
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
    """Tokenizers and formats, a line each."""
    mesh.replies["GetPreprocessingConfig"] = pb.GetPreprocessingConfigResponse(
        tokenizers=["minilm-l6"], image_formats=["JPEG", "PNG"], audio_formats=["wav"]
    )
    assert [line.split() for line in maas("preprocess", "config").stdout.splitlines()[1:]] == [
        ["tokenizers", "minilm-l6"],
        ["picture", "formats", "JPEG,", "PNG"],
        ["audio", "formats", "wav"],
    ]
