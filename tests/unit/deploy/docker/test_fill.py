"""The models of an image come into a volume whole, once, and leave alone what others put there."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from deploy.docker.fill import fill, main


@pytest.fixture
def image(tmp_path):
    """The models of an image."""
    version = tmp_path / "image" / "tiny" / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_text("weights")
    (version.parent / "config.pbtxt").write_text("configuration")
    (version.parent / "configs").mkdir()
    (version.parent / "configs" / "gpu.pbtxt").write_text("on a GPU")
    return tmp_path / "image"


@pytest.fixture
def volume(tmp_path):
    """An empty volume."""
    folder = tmp_path / "volume"
    folder.mkdir()
    return folder


def content(volume):
    """What Triton finds, file by file."""
    root = volume / "models"
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_an_empty_volume(image, volume):
    """Everything is brought, nothing half done is left, and the second time there is nothing to do."""
    assert fill(image, volume) == ["tiny/1", "tiny/configs", "tiny/config.pbtxt"]
    expected = {
        "tiny/1/model.onnx": "weights",
        "tiny/config.pbtxt": "configuration",
        "tiny/configs/gpu.pbtxt": "on a GPU",
    }
    assert content(volume) == expected
    assert {path.name for path in volume.iterdir()} == {"models", "brought"}
    assert fill(image, volume) == []


def test_what_others_put_there_stays(image, volume):
    """A new version beside ours is kept, and one of the same number that we did not bring is not overwritten."""
    for version in ("1", "2"):
        (volume / "models" / "tiny" / version).mkdir(parents=True)
        (volume / "models" / "tiny" / version / "model.onnx").write_text(f"theirs, {version}")
    fill(image, volume)
    assert content(volume)["tiny/1/model.onnx"] == "theirs, 1"
    assert content(volume)["tiny/2/model.onnx"] == "theirs, 2"


def test_a_newer_image(image, volume):
    """What an older image brought is replaced where it changed."""
    fill(image, volume)
    (image / "tiny" / "1" / "model.onnx").write_text("better weights")
    (image / "tiny" / "config.pbtxt").write_text("newer")
    assert fill(image, volume) == ["tiny/1", "tiny/config.pbtxt"]
    assert content(volume)["tiny/1/model.onnx"] == "better weights"
    assert content(volume)["tiny/config.pbtxt"] == "newer"
    assert fill(image, volume) == []


def test_who_was_killed_in_the_middle(image, volume):
    """A replica that was killed while it filled the volume has the rest brought by the next."""
    fill(image, volume)
    (volume / "brought" / "tiny" / "1").write_text("unfinished")
    (volume / "models" / "tiny" / "1" / "model.onnx").write_text("older")
    assert fill(image, volume) == ["tiny/1"]
    assert content(volume)["tiny/1/model.onnx"] == "weights"


def test_replicas_start_together(image, volume):
    """Several replicas may fill one volume at once."""
    for number in range(20):
        (image / f"model-{number}" / "1").mkdir(parents=True)
        (image / f"model-{number}" / "1" / "model.onnx").write_text(str(number))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: fill(image, volume), range(4)))
    assert {f"model-{number}/1/model.onnx": str(number) for number in range(20)}.items() <= content(volume).items()
    assert {path.name for path in volume.iterdir()} == {"models", "brought"}


def test_a_volume_that_cannot_be_written_to(image, monkeypatch, capsys, volume):
    """The init container says what is wrong instead of showing a stack trace."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert main([str(image), str(volume)]) == 1
    assert "let its storage honour fsGroup" in capsys.readouterr().err
