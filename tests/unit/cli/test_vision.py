"""`maas vision`."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from maas.type.v1.media_pb2 import BoundingBox
from maas.vision.v1 import vision_pb2 as pb
from tests.unit.cli.fakes import FakeMesh, Maas

LEFT_HALF = pb.DetectedObject(
    name="bicycle", score=0.96, bounding_box=BoundingBox(x_min=0.1, y_min=0.25, x_max=0.5, y_max=0.75)
)


def grey_jpeg(width: int = 200, height: int = 100, orientation: int = 1) -> bytes:
    """An encoded grey picture with an EXIF orientation."""
    image = Image.new("RGB", (width, height), (128, 128, 128))
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    image.save(out, "jpeg", exif=exif)
    return out.getvalue()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A grey picture of 200 x 100 pixels."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(grey_jpeg())
    return path


def test_classify_lists_labels_with_scores(mesh: FakeMesh, maas: Maas, photo: Path):
    """A line a label, in the answer's order; the options reach the request."""
    mesh.replies["ClassifyImage"] = pb.ClassifyImageResponse(
        labels=[pb.Label(name="espresso", score=0.96), pb.Label(name="cup", score=0.02)]
    )
    result = maas("vision", "classify", str(photo), "--max-results", "2", "--min-score", "0.25", "--model", "lite0")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [(line[0], line[-1]) for line in lines[1:]] == [("0.96", "espresso"), ("0.02", "cup")]
    [request] = mesh.requests
    assert request.image.content == photo.read_bytes()
    assert (request.max_results, request.min_score, request.model) == (2, 0.25, "lite0")


def test_detect_tells_places_in_pixels(mesh: FakeMesh, maas: Maas, photo: Path):
    """Boxes are printed in pixels of the picture, whatever its size."""
    mesh.replies["DetectObjects"] = pb.DetectObjectsResponse(objects=[LEFT_HALF], image_width=200, image_height=100)
    result = maas("vision", "detect", str(photo), "--max-results", "3", "--min-score", "0.5")
    line = result.stdout.splitlines()[1].split()
    assert (line[0], line[-5:]) == ("0.96", ["bicycle", "20", "25", "100", "75"])
    assert (mesh.requests[0].max_results, mesh.requests[0].min_score) == (3, 0.5)


def test_detect_draws_boxes(mesh: FakeMesh, maas: Maas, photo: Path, tmp_path: Path):
    """--save writes the picture with a coloured box where the object is, and leaves the rest as it was."""
    mesh.replies["DetectObjects"] = pb.DetectObjectsResponse(objects=[LEFT_HALF], image_width=200, image_height=100)
    saved = tmp_path / "out.png"
    assert maas("vision", "detect", str(photo), "--save", str(saved)).exit_code == 0
    drawn = Image.open(saved).convert("RGB")
    assert drawn.size == (200, 100)
    on_edge, inside, outside = drawn.getpixel((21, 60)), drawn.getpixel((60, 50)), drawn.getpixel((150, 50))
    assert max(on_edge) - min(on_edge) > 60
    assert inside == outside
    assert max(outside) - min(outside) < 10


def test_boxes_are_drawn_on_the_upright_picture(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """A picture that its EXIF data turns by 90 degrees is saved upright, as the boxes are meant."""
    photo, saved = tmp_path / "turned.jpg", tmp_path / "out.png"
    photo.write_bytes(grey_jpeg(orientation=6))
    mesh.replies["DetectObjects"] = pb.DetectObjectsResponse(objects=[LEFT_HALF], image_width=100, image_height=200)
    assert maas("vision", "detect", str(photo), "--save", str(saved)).exit_code == 0
    assert Image.open(saved).size == (100, 200)


def test_detect_refuses_an_ending_that_is_no_picture(mesh: FakeMesh, maas: Maas, photo: Path, tmp_path: Path):
    """--save to an unknown format is wrong usage before anything is called."""
    result = maas("vision", "detect", str(photo), "--save", str(tmp_path / "out.xyz"))
    assert (result.exit_code, mesh.requests) == (2, [])
    assert "names no picture format" in result.stderr


def test_detect_reads_standard_input(mesh: FakeMesh, maas: Maas, photo: Path):
    """- reads the picture from standard input."""
    mesh.replies["DetectObjects"] = pb.DetectObjectsResponse()
    assert maas("vision", "detect", "-", stdin=photo.read_bytes()).exit_code == 0
    assert mesh.requests[0].image.content == photo.read_bytes()
