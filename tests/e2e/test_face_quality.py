"""Faces on known photos: found, placed, told apart; through the gateway."""

from __future__ import annotations

import io
from itertools import combinations
from pathlib import Path

import grpc
import numpy as np
import pytest
import yaml
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from PIL import Image

from maas.type.v1 import media_pb2
from maas.vision.v1 import face_pb2, vision_pb2_grpc

ROOT = Path(__file__).parents[2]
SAMPLES = yaml.safe_load((ROOT / "deploy/models/samples.yaml").read_text())["samples"]
WITH_FACES = [pytest.param(each, id=each["name"]) for each in SAMPLES if "faces" in each.get("expect", {})]
PEOPLE = {each["name"]: each["expect"]["person"] for each in SAMPLES if "person" in each.get("expect", {})}
OBAMA = sorted(name for name, person in PEOPLE.items() if person == "Barack Obama")
SECONDS = 60


def photo(name: str) -> Image.Image:
    with Image.open(ROOT / ".build/samples" / name) as opened:
        return opened.convert("RGB")


def message(picture: str | Image.Image) -> media_pb2.Image:
    """A sample by its name, or a picture."""
    if isinstance(picture, str):
        return media_pb2.Image(content=(ROOT / ".build/samples" / picture).read_bytes())
    file = io.BytesIO()
    picture.save(file, "PNG")
    return media_pb2.Image(content=file.getvalue())


def reduced(name: str, face_pixels: int) -> Image.Image:
    """A photo on a grey ground of 640 x 480, so small that its face is so many pixels wide; it was 88 of 512."""
    image = photo(name)
    scale = face_pixels / 88 * 512 / image.width
    small = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    ground = Image.new("RGB", (640, 480), (120, 130, 140))
    ground.paste(small, (100, 80))
    return ground


@pytest.fixture(scope="module")
def stub(mesh):
    with grpc.insecure_channel(f"127.0.0.1:{mesh.port}") as channel:
        yield vision_pb2_grpc.VisionServiceStub(channel)


def detect(stub, picture, **fields):
    return stub.DetectFaces(face_pb2.DetectFacesRequest(image=message(picture), **fields), timeout=SECONDS)


def verify(stub, one, other):
    request = face_pb2.VerifyFaceRequest(image=message(one), other_image=message(other))
    return stub.VerifyFace(request, timeout=SECONDS)


@pytest.mark.parametrize("sample", WITH_FACES)
def test_every_face_is_found_once(stub, sample):
    """As many faces as a person counts, best first, each with its landmarks where an upright face has them."""
    found = detect(stub, sample["name"])
    assert len(found.faces) == sample["expect"]["faces"]
    scores = [face.score for face in found.faces]
    assert scores == sorted(scores, reverse=True)
    for face in found.faces:
        box, points = face.bounding_box, face.landmarks
        assert 0 <= box.x_min < box.x_max <= 1
        assert 0 <= box.y_min < points.nose.y < box.y_max <= 1
        assert max(points.left_eye.y, points.right_eye.y) < min(points.mouth_left.y, points.mouth_right.y)
        # The person's own left is at the right of the picture.
        assert points.right_eye.x < points.left_eye.x
        assert points.mouth_right.x < points.mouth_left.x


def test_six_pictures_of_one_person_agree(stub):
    """Three photos of a person, and again cut through the face, small, and turned: every two are one person."""
    portrait = photo("obama-portrait.jpg")
    cut = portrait.crop((0, 0, 545, portrait.height))
    small = photo("obama-speaking.jpg").resize((157, 300), Image.Resampling.LANCZOS)
    turned = photo("obama-standing.jpg").rotate(20, Image.Resampling.BICUBIC)
    for one, other in combinations([*OBAMA, cut, small, turned], 2):
        compared = verify(stub, one, other)
        assert compared.same_person
        assert compared.distance <= compared.threshold


def test_different_people_do_not(stub):
    """No photo of a person is taken for another's, with some room to spare."""
    for one, other in combinations(PEOPLE, 2):
        if PEOPLE[one] != PEOPLE[other]:
            compared = verify(stub, one, other)
            assert not compared.same_person
            assert compared.distance > compared.threshold + 0.05


def test_nobody_of_a_group_is_somebody_else(stub):
    """The vectors that DetectFaces gives have length 1, and no face of a group is near one of another person."""
    wanted = [face_pb2.FACE_ATTRIBUTE_EMBEDDING]

    def vectors(name):
        return np.array([face.embedding for face in detect(stub, name, attributes=wanted).faces])

    group = vectors("friends-5.jpg")
    assert np.linalg.norm(group, axis=1) == pytest.approx(1, abs=1e-5)
    known = np.concatenate([vectors(name) for name in PEOPLE])
    assert np.linalg.norm(group[:, None] - known[None], axis=2).min() > 0.38


def test_what_is_told_of_a_face(stub):
    """Age and expression are told when asked for; a woman of 36 who smiles is told to be some 30 to 45 and happy."""
    asked = detect(
        stub, "portrait.png", attributes=[face_pb2.FACE_ATTRIBUTE_AGE, face_pb2.FACE_ATTRIBUTE_EXPRESSION]
    ).faces[0]
    assert 25 <= asked.age_years <= 50
    assert asked.expressions[0].name == "happy"
    assert sum(each.score for each in asked.expressions) == pytest.approx(1, abs=1e-4)
    assert not asked.embedding
    unasked = detect(stub, "portrait.png").faces[0]
    assert not unasked.HasField("age_years")
    assert not unasked.expressions


def test_a_face_upside_down(stub):
    """It is found, its landmarks are the person's own, and it is known again."""
    upside_down = photo("portrait.png").rotate(180)
    points = detect(stub, upside_down).faces[0].landmarks
    assert points.left_eye.x < points.right_eye.x
    assert points.left_eye.y > points.mouth_left.y
    assert verify(stub, "portrait.png", upside_down).same_person


@pytest.mark.parametrize("pixels", [24, 30])
def test_a_small_face(stub, pixels):
    """Of 24 pixels on a picture of 640 it is found and still known again; of 15 it would no longer be."""
    assert verify(stub, "portrait.png", reduced("portrait.png", pixels)).same_person


@pytest.mark.parametrize("field", ["image", "other_image"])
def test_a_tiny_face(stub, field):
    """Of 3 pixels it is not found, and VerifyFace says on which of the pictures there is none."""
    tiny = reduced("portrait.png", 3)
    assert not detect(stub, tiny).faces
    pictures = {"image": message("portrait.png"), "other_image": message("portrait.png"), field: message(tiny)}
    with pytest.raises(grpc.RpcError) as caught:
        stub.VerifyFace(face_pb2.VerifyFaceRequest(**pictures), timeout=SECONDS)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    info = error_details_pb2.ErrorInfo()
    rpc_status.from_call(caught.value).details[0].Unpack(info)
    assert (info.reason, info.metadata["field"]) == ("FACE_NOT_FOUND", field)


def test_a_cat_has_no_face(stub):
    """Nor have a cup and a motorcycle: faces are people's."""
    for name in ("cat.png", "coffee.png", "motorcycle.png"):
        assert not detect(stub, name).faces
