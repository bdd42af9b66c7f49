"""`maas vision`."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
from google.protobuf.json_format import ParseDict
from PIL import Image

from maas.type.v1.media_pb2 import BoundingBox
from maas.vision.v1 import face_pb2, image_pb2, redaction_pb2, video_pb2
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


def drawn(path: Path) -> np.ndarray:
    """Where a drawing differs from the grey picture under it, bool[H, W]."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return np.abs(pixels - 128).max(axis=2) > 40


def test_an_address_is_sent_as_it_is(mesh: FakeMesh, maas: Maas):
    """The mesh reads an address itself; nothing of it is read here."""
    mesh.replies["ClassifyImage"] = pb.ClassifyImageResponse()
    assert maas("vision", "classify", "s3://bucket/cat.jpg").exit_code == 0
    assert mesh.requests[0].image.uri == "s3://bucket/cat.jpg"


def test_nothing_is_drawn_on_an_address(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """--save beside an address is wrong usage before anything is called."""
    result = maas("vision", "faces", "https://host/cat.jpg", "--save", str(tmp_path / "out.png"))
    assert (result.exit_code, mesh.requests) == (2, [])
    assert "give it as a file" in result.stderr


def test_faces_are_drawn_with_their_points(mesh: FakeMesh, maas: Maas, photo: Path, tmp_path: Path):
    """The box is where the face is, and a dot marks the nose; age and expression are in the table."""
    face = ParseDict(
        {
            "boundingBox": {"xMin": 0.2, "yMin": 0.3, "xMax": 0.5, "yMax": 0.9},
            "score": 0.9,
            "landmarks": {"nose": {"x": 0.35, "y": 0.6}},
            "ageYears": 41.6,
            "expressions": [{"name": "happy", "score": 0.8}],
        },
        face_pb2.Face(),
    )
    mesh.replies["DetectFaces"] = face_pb2.DetectFacesResponse(faces=[face], image_width=200, image_height=100)
    saved = tmp_path / "out.png"
    result = maas("vision", "faces", str(photo), "--age", "--expression", "--save", str(saved))
    assert "42" in result.stdout
    assert "happy 0.80" in result.stdout
    assert list(mesh.requests[0].attributes) == [face_pb2.FACE_ATTRIBUTE_AGE, face_pb2.FACE_ATTRIBUTE_EXPRESSION]
    marked = drawn(saved)
    assert marked[60, 70]
    assert marked[60, 41]
    assert not marked[60, 150]


def test_sure_bones_are_drawn_and_guesses_are_not(mesh: FakeMesh, maas: Maas, photo: Path, tmp_path: Path):
    """A line joins two sure points of an arm; a point below 0.3 has none."""
    points = [
        {"bodyPart": "BODY_PART_LEFT_SHOULDER", "position": {"x": 0.2, "y": 0.5}, "score": 0.9},
        {"bodyPart": "BODY_PART_LEFT_ELBOW", "position": {"x": 0.4, "y": 0.5}, "score": 0.9},
        {"bodyPart": "BODY_PART_LEFT_WRIST", "position": {"x": 0.9, "y": 0.5}, "score": 0.1},
    ]
    pose = ParseDict({"keypoints": points, "score": 0.6}, image_pb2.Pose())
    mesh.replies["AnnotateImage"] = pb.AnnotateImageResponse(annotation=pb.ImageAnnotation(poses=[pose]))
    saved = tmp_path / "out.png"
    result = maas("vision", "pose", str(photo), "--save", str(saved))
    assert "2 of 3" in result.stdout
    assert drawn(saved)[50, 60]
    assert not drawn(saved)[50, 130]


def test_a_mask_darkens_all_but_people(mesh: FakeMesh, maas: Maas, photo: Path, tmp_path: Path):
    """Where the mask is white the picture stays; elsewhere it becomes darker."""
    mask = Image.new("L", (20, 10))
    mask.paste(255, (0, 0, 10, 10))
    png = io.BytesIO()
    mask.save(png, "png")
    found = image_pb2.PersonMask(png=png.getvalue(), width=20, height=10, coverage=0.5)
    mesh.replies["AnnotateImage"] = pb.AnnotateImageResponse(annotation=pb.ImageAnnotation(person_mask=found))
    saved = tmp_path / "out.png"
    assert "50%" in maas("vision", "segment", str(photo), "--save", str(saved)).stdout
    picture = Image.open(saved).convert("L")
    assert picture.getpixel((40, 50)) > 120
    assert picture.getpixel((160, 50)) < 80


def test_a_feature_that_failed_ends_with_1(mesh: FakeMesh, maas: Maas, photo: Path):
    """The reason is told, and a script notices."""
    failure = ParseDict(
        {"feature": "IMAGE_FEATURE_SAFETY", "status": {"code": 12, "message": "no model is deployed here"}},
        pb.FeatureFailure(),
    )
    mesh.replies["AnnotateImage"] = pb.AnnotateImageResponse(annotation=pb.ImageAnnotation(failures=[failure]))
    result = maas("vision", "safety", str(photo))
    assert result.exit_code == 1
    assert "no model is deployed here" in result.stdout
    assert maas("vision", "annotate", str(photo), "--feature", "safety", "--json").exit_code == 1


def test_pictures_are_compared(mesh: FakeMesh, maas: Maas, photo: Path):
    """Of several pictures the cosine of each two is told."""
    vectors = iter([[1.0, 0.0], [0.6, 0.8]])
    mesh.replies["EmbedImage"] = lambda *_: image_pb2.EmbedImageResponse(embedding=next(vectors))
    result = maas("vision", "embed", str(photo), str(photo))
    assert [line.split()[2:] for line in result.stdout.splitlines()[1:]] == [["1.00", "0.60"], ["0.60", "1.00"]]


def test_what_is_to_be_covered(mesh: FakeMesh, maas: Maas, photo: Path, tmp_path: Path):
    """Faces by themselves; with --text or --box only what was said. The picture is written."""
    mesh.replies["RedactImage"] = redaction_pb2.RedactImageResponse(content=b"picture")
    out = tmp_path / "out.jpg"
    maas("vision", "redact", str(photo), "--out", str(out))
    maas("vision", "redact", str(photo), "--out", str(out), "--text", "--box", "0,0,0.5,1", "--method", "blur")
    first, second = mesh.requests
    assert (first.faces, first.text, len(first.boxes)) == (True, False, 0)
    assert (second.faces, second.text, second.boxes[0].x_max) == (False, True, 0.5)
    assert second.method == redaction_pb2.REDACTION_METHOD_BLUR
    assert out.read_bytes() == b"picture"


def test_the_gallery_of_a_tenant(mesh: FakeMesh, maas: Maas):
    """--tenant goes along as metadata."""
    mesh.replies["ListFaces"] = face_pb2.ListFacesResponse()
    maas("vision", "gallery", "list", "--tenant", "acme")
    assert mesh.metadata[0]["maas-tenant"] == "acme"


def test_a_contact_sheet_shows_each_track_at_its_best_moment(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """The sheet has a cell a track with the frame of its best score: here the one frame that is white."""
    video = tmp_path / "video.mp4"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = 64, 48
        for number in range(20):
            pixels = np.full((48, 64, 3), 255 if number == 12 else 0, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode())
    track = ParseDict(
        {"trackId": 1, "name": "dog", "bestOffset": "1.200s", "bestBox": {"xMax": 1, "yMax": 1}, "endOffset": "2s"},
        video_pb2.TrackSummary(),
    )
    mesh.replies["StreamingAnnotateVideo"] = [
        video_pb2.StreamingAnnotateVideoResponse(summary=video_pb2.VideoSummary(tracks=[track]))
    ]
    saved = tmp_path / "sheet.png"
    assert maas("vision", "video", str(video), "--save", str(saved)).exit_code == 0
    assert Image.open(saved).convert("L").getpixel((100, 130)) > 200
