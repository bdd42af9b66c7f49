"""DetectFaces and VerifyFace over a real socket, with faked ports and small models."""

from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest

from maas.type.v1 import media_pb2
from maas.vision.v1 import face_pb2 as pb
from maas.vision.v1 import vision_pb2_grpc
from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import Pixels, Region, Target
from services.mesh.testing import FakeInference, FakePreprocessor, known_models, serve
from services.vision.app import servicer
from services.vision.pipelines.faces.encode import FaceEncoder
from services.vision.pipelines.faces.find import FaceFinder
from tests.failure import failure

REQUIRED = ModelCard(name="required", task="image-classification", summary="Every mesh has one.")
FINDER = ModelCard(
    name="finder",
    task="face-detection",
    summary="Finds.",
    default=True,
    preprocess={"width": 64, "height": 64, "fit": "inside"},
)
ENCODER = ModelCard(
    name="encoder",
    task="face-embedding",
    summary="Compares.",
    default=True,
    max_batch_size=2,
    preprocess={"width": 4, "height": 4, "landmarks": [[0.7, 0.3], [0.3, 0.3], [0.5, 0.5], [0.7, 0.7], [0.3, 0.7]]},
    postprocess={"max_distance": 0.5},
)
OTHER_ENCODER = ENCODER.model_copy(update={"name": "other", "default": False, "postprocess": {"max_distance": 1.5}})
AGE = ModelCard(name="age", task="face-age", summary="Guesses.", preprocess={"width": 6, "height": 6, "margin": 0.0})
EXPRESSION = ModelCard(
    name="expression",
    task="face-expression",
    summary="Reads.",
    labels=("sad", "happy", "neutral"),
    preprocess={"width": 5, "height": 5, "margin": 0.1},
)
CARDS = (REQUIRED, FINDER, ENCODER, OTHER_ENCODER, AGE, EXPRESSION)
OPTIONAL = ("face-detection", "face-embedding", "face-age", "face-expression")
IMAGE = media_pb2.Image(content=b"\x00")
REQUEST_ID = "8f14e45f-ceea-467f-a0e6-2ad52f0e1b1c"

SMALL, LARGE = [0.1, 0.1, 0.3, 0.3], [0.4, 0.4, 0.9, 0.9]
LANDMARKS = np.float32([[0.7, 0.5], [0.5, 0.5], [0.6, 0.6], [0.7, 0.7], [0.5, 0.7]])


def found(*faces):
    """What the finder answers: boxes with their scores."""
    boxes, scores = zip(*faces, strict=True) if faces else ((), ())
    return {
        "boxes": np.array(boxes, np.float32).reshape(1, -1, 4),
        "scores": np.array(scores, np.float32).reshape(1, -1),
        "landmarks": np.tile(LANDMARKS, (1, len(faces), 1, 1)),
    }


def answering(*faces):
    """Models that find these faces; a face's vector is a direction that its brightness gives, 0 to 90 degrees."""

    def answer(model, inputs):
        images = inputs["images"]
        if model == "finder":
            return found(*faces)
        if model == "age":
            return {"age": np.full((len(images), 1), 41.5, np.float32)}
        if model == "expression":
            return {"scores": np.tile(np.float32([0.2, 0.7, 0.1]), (len(images), 1))}
        turn = images.mean((1, 2, 3)) / 255 * np.pi / 2
        return {"embedding": np.stack([np.cos(turn), np.sin(turn)], 1).astype(np.float32)}

    return answer


class Grey(FakePreprocessor):
    """Pictures as bright as their first byte."""

    async def render_image(self, content, targets, *, deadline):
        rendered = await super().render_image(content, targets, deadline=deadline)
        return [
            Pixels(np.full_like(each.pixels, content[0]), each.source_width, each.source_height, each.source_region)
            for each in rendered
        ]


@asynccontextmanager
async def faces(answer=None, *, preprocessor=None, cards=CARDS, loading=()):
    """A stub of the service, and the inference that it uses."""
    inference = FakeInference(answer or answering((LARGE, 0.9)))
    models = await known_models(*cards, loading=loading, optional_tasks=OPTIONAL)
    async with serve(servicer(inference, preprocessor or Grey(), models)) as channel:
        yield vision_pb2_grpc.VisionServiceStub(channel), inference


async def test_faces_come_best_first_and_once():
    """Whatever order the model gives them in; of boxes on one face the best stays, and weak ones are left out."""
    answer = answering((SMALL, 0.6), ([0.41, 0.4, 0.9, 0.9], 0.7), (LARGE, 0.8), ([0, 0.5, 0.1, 0.6], 0.3))
    async with faces(answer) as (stub, inference):
        response = await stub.DetectFaces(pb.DetectFacesRequest(image=IMAGE, request_id=REQUEST_ID))
        all_ = await stub.DetectFaces(pb.DetectFacesRequest(image=IMAGE, min_score=0.2))
        one = await stub.DetectFaces(pb.DetectFacesRequest(image=IMAGE, max_results=1))
    assert [round(face.score, 2) for face in response.faces] == [0.8, 0.6]
    assert [round(face.score, 2) for face in all_.faces] == [0.8, 0.6, 0.3]
    assert [round(face.score, 2) for face in one.faces] == [0.8]
    assert (response.image_width, response.image_height) == (640, 480)
    assert (response.model, response.request_id) == ("finder", REQUEST_ID)
    assert inference.calls[0][1]["images"].shape == (1, 64, 64, 3)


async def test_places_are_those_of_the_picture():
    """Where the rendering shows more than the picture, boxes end at its edges and landmarks may lie outside."""
    async with faces(preprocessor=Grey(region=Region(0, 0, 1, 2))) as (stub, _):
        (face,) = (await stub.DetectFaces(pb.DetectFacesRequest(image=IMAGE))).faces
    box, points = face.bounding_box, face.landmarks
    assert (box.x_min, box.y_min, box.x_max, box.y_max) == pytest.approx((0.4, 0.8, 0.9, 1))
    assert (points.left_eye.x, points.left_eye.y) == pytest.approx((0.7, 1))
    assert (points.right_eye.x, points.right_eye.y) == pytest.approx((0.5, 1))
    assert (points.nose.x, points.nose.y) == pytest.approx((0.6, 1.2))
    assert (points.mouth_left.x, points.mouth_left.y) == pytest.approx((0.7, 1.4))
    assert (points.mouth_right.x, points.mouth_right.y) == pytest.approx((0.5, 1.4))


async def test_nothing_is_told_that_nobody_asked_for():
    """Without attributes no other model runs and the picture is rendered once, at the finder's size."""
    preprocessor = Grey()
    async with faces(preprocessor=preprocessor) as (stub, inference):
        (face,) = (await stub.DetectFaces(pb.DetectFacesRequest(image=IMAGE))).faces
    assert [model for model, _, _ in inference.calls] == ["finder"]
    assert preprocessor.rendered == [[Target(64, 64, "inside")]]
    assert not face.HasField("age_years")
    assert (len(face.expressions), len(face.embedding), face.embedding_model) == (0, 0, "")


async def test_attributes_are_told_in_batches():
    """Every face has them; a model gets as many faces at once as it takes, each of its own size."""
    attributes = [pb.FACE_ATTRIBUTE_EMBEDDING, pb.FACE_ATTRIBUTE_EXPRESSION, pb.FACE_ATTRIBUTE_AGE]
    three = ((LARGE, 0.9), (SMALL, 0.8), ([0, 0.5, 0.1, 0.6], 0.7))
    async with faces(answering(*three)) as (stub, inference):
        image = media_pb2.Image(content=b"\xff")
        response = await stub.DetectFaces(pb.DetectFacesRequest(image=image, attributes=attributes))
    shapes = sorted((model, inputs["images"].shape) for model, inputs, _ in inference.calls[1:])
    assert shapes == [
        *[("age", (1, 6, 6, 3))] * 3,
        ("encoder", (1, 4, 4, 3)),
        ("encoder", (2, 4, 4, 3)),
        *[("expression", (1, 5, 5, 3))] * 3,
    ]
    assert len(response.faces) == 3
    for face in response.faces:
        assert face.age_years == 41.5
        assert [each.name for each in face.expressions] == ["happy", "sad", "neutral"]
        assert face.embedding == pytest.approx([0, 1], abs=1e-6)
        assert face.embedding_model == "encoder"


async def test_attributes_are_read_from_a_larger_rendering():
    """The picture is decoded once for both, and a face is cut out of the larger one."""
    preprocessor = Grey()
    async with faces(preprocessor=preprocessor) as (stub, _):
        await stub.DetectFaces(pb.DetectFacesRequest(image=IMAGE, attributes=[pb.FACE_ATTRIBUTE_AGE]))
    assert preprocessor.rendered == [[Target(64, 64, "inside"), Target(1600, 1600, "inside")]]


async def test_a_picture_without_faces():
    """No faces are an answer, and nothing is asked of other models; one that is missing is an error all the same."""
    request = pb.DetectFacesRequest(image=IMAGE, attributes=[pb.FACE_ATTRIBUTE_AGE])
    async with faces(answering()) as (stub, inference):
        assert not (await stub.DetectFaces(request)).faces
    assert [model for model, _, _ in inference.calls] == ["finder"]
    async with faces(answering(), cards=[card for card in CARDS if card is not AGE]) as (stub, _):
        assert (await failure(stub.DetectFaces(request)))[0] is grpc.StatusCode.UNIMPLEMENTED
    async with faces(answering(), loading=["age"]) as (stub, _):
        assert (await failure(stub.DetectFaces(request)))[0] is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"attributes": [pb.FACE_ATTRIBUTE_AGE, 0]}, "attributes[1]"),
        ({"attributes": [9]}, "attributes[0]"),
        ({"attributes": [pb.FACE_ATTRIBUTE_AGE] * 2}, "attributes[1]"),
        ({"max_results": 101}, "max_results"),
        ({"max_results": -1}, "max_results"),
        ({"min_score": 1.1}, "min_score"),
        ({"min_score": float("nan")}, "min_score"),
        ({"request_id": "x"}, "request_id"),
    ],
)
async def test_bad_requests_name_the_field(fields, field):
    """INVALID_ARGUMENT names the field that is wrong, before anything is decoded."""
    preprocessor = Grey()
    async with faces(preprocessor=preprocessor) as (stub, _):
        code, _, bad, _ = await failure(stub.DetectFaces(pb.DetectFacesRequest(image=IMAGE, **fields)))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    assert not preprocessor.rendered


@pytest.mark.parametrize(
    ("other", "fields", "same", "threshold"),
    [
        (20, {}, True, 0.5),
        (255, {}, False, 0.5),
        (255, {"max_distance": 1.42}, True, 1.42),
        (255, {"model": "other"}, True, 1.5),
        (255, {"model": "other", "max_distance": 0.25}, False, 0.25),
    ],
)
async def test_two_faces_are_compared(other, fields, same, threshold):
    """Two are one person when they are no farther apart than the threshold: the request's, or the model's own."""
    async with faces() as (stub, _):
        response = await stub.VerifyFace(
            pb.VerifyFaceRequest(
                image=IMAGE, other_image=media_pb2.Image(content=bytes([other])), request_id=REQUEST_ID, **fields
            )
        )
    assert response.distance == pytest.approx(2 * np.sin(other / 255 * np.pi / 4), abs=1e-4)
    assert (response.same_person, response.threshold) == (same, pytest.approx(threshold))
    assert (response.model, response.request_id) == (fields.get("model", "encoder"), REQUEST_ID)


async def test_the_largest_face_counts():
    """Of several faces the largest is compared, though another is surer; the vectors are in no answer."""
    async with faces(answering((SMALL, 0.95), (LARGE, 0.6))) as (stub, inference):
        response = await stub.VerifyFace(pb.VerifyFaceRequest(image=IMAGE, other_image=IMAGE))
    for face in (response.face, response.other_face):
        assert face.bounding_box.x_max == pytest.approx(0.9)
        assert (len(face.embedding), face.embedding_model) == (0, "")
    assert [inputs["images"].shape[0] for model, inputs, _ in inference.calls if model == "encoder"] == [1, 1]


@pytest.mark.parametrize("field", ["image", "other_image"])
async def test_no_face_names_the_picture(field):
    """FAILED_PRECONDITION with FACE_NOT_FOUND says which of the two pictures has none."""
    empty = media_pb2.Image(content=b"\xff")

    def answer(model, inputs):
        bright = inputs["images"].any()
        return (answering() if bright else answering((LARGE, 0.9)))(model, inputs)

    async with faces(answer) as (stub, _):
        request = pb.VerifyFaceRequest(**{"image": IMAGE, "other_image": IMAGE, field: empty})
        code, info, _, _ = await failure(stub.VerifyFace(request))
    assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "FACE_NOT_FOUND")
    assert info.metadata["field"] == field


@pytest.mark.parametrize("field", ["image", "other_image"])
async def test_a_broken_picture_is_named(field):
    """What preprocessing says of a picture names it as the caller did; so does what says that there is none."""

    class Picky(Grey):
        async def render_image(self, content, targets, *, deadline):
            if content == b"broken":
                raise errors.InvalidArgument.field("image.content", "is not a picture")
            return await super().render_image(content, targets, deadline=deadline)

    async with faces(preprocessor=Picky()) as (stub, _):
        for wrong in (media_pb2.Image(content=b"broken"), media_pb2.Image()):
            request = pb.VerifyFaceRequest(**{"image": IMAGE, "other_image": IMAGE, field: wrong})
            code, _, bad, _ = await failure(stub.VerifyFace(request))
            assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, f"{field}.content")


@pytest.mark.parametrize("value", [-0.1, 2.1, float("nan"), float("inf")])
async def test_a_distance_out_of_range(value):
    """Vectors of length 1 are 0 to 2 apart, and no other threshold makes sense."""
    async with faces() as (stub, _):
        request = pb.VerifyFaceRequest(image=IMAGE, other_image=IMAGE, max_distance=value)
        code, _, bad, _ = await failure(stub.VerifyFace(request))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, "max_distance")


async def test_a_model_without_a_measured_distance():
    """It compares when the request says how far apart two faces may be, and only then."""
    unmeasured = ENCODER.model_copy(update={"postprocess": {}})
    async with faces(cards=[REQUIRED, FINDER, unmeasured]) as (stub, _):
        request = pb.VerifyFaceRequest(image=IMAGE, other_image=IMAGE)
        code, _, bad, _ = await failure(stub.VerifyFace(request))
        assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, "max_distance")
        request.max_distance = 0.1
        assert (await stub.VerifyFace(request)).same_person


async def test_an_unknown_model():
    """NOT_FOUND lists the models that can do it."""
    async with faces() as (stub, _):
        wrong = pb.VerifyFaceRequest(image=IMAGE, other_image=IMAGE, model="finder")
        code, info, _, _ = await failure(stub.VerifyFace(wrong))
    assert (code, info.metadata["known"]) == (grpc.StatusCode.NOT_FOUND, "encoder, other")


async def test_only_one_face():
    """Who is to be enrolled stands alone on the picture."""
    preprocessor, models = Grey(), await known_models(*CARDS)
    one, two = (
        FaceEncoder(preprocessor, FaceFinder(FakeInference(answering(*given)), models), models)
        for given in ([(LARGE, 0.9)], [(LARGE, 0.9), (SMALL, 0.8)])
    )
    face = await one.encode(b"\xff", field="image", only_one=True, deadline=Deadline.after(10))
    assert face.embedding == pytest.approx([0, 1], abs=1e-6)
    assert face.embedding_model == "encoder"
    with pytest.raises(errors.FailedPrecondition) as caught:
        await two.encode(b"\xff", field="image", only_one=True, deadline=Deadline.after(10))
    assert (caught.value.reason, caught.value.metadata) == ("SEVERAL_FACES", {"field": "image", "faces": "2"})
