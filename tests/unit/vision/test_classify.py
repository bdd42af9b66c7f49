"""ClassifyImage and EmbedImage."""

import grpc
import numpy as np
import pytest

from maas.type.v1 import media_pb2
from maas.vision.v1 import image_pb2
from maas.vision.v1 import vision_pb2 as pb
from services.mesh import errors
from services.mesh.ports import Target
from services.mesh.testing import FakeInference, FakePreprocessor
from tests.failure import failure
from tests.unit.vision.pictures import IMAGE, REQUEST_ID, answer, pictures


async def test_labels_come_best_first():
    """Labels carry name, score, index and the id that other data sets have, best first; max_results bounds them."""
    async with pictures() as (stub, inference):
        response = await stub.ClassifyImage(pb.ClassifyImageRequest(image=IMAGE, max_results=2, request_id=REQUEST_ID))
    assert [(label.name, label.index, label.label_id) for label in response.labels] == [
        ("dog", 1, "n2"),
        ("cat", 0, "n1"),
    ]
    assert (response.model, response.request_id) == ("classifier", REQUEST_ID)
    assert inference.calls[0][1]["images"].shape == (1, 4, 8, 3)


async def test_weak_labels_are_left_out():
    """Labels below min_score are not in the answer."""
    async with pictures() as (stub, _):
        response = await stub.ClassifyImage(pb.ClassifyImageRequest(image=IMAGE, min_score=0.5))
    assert [label.name for label in response.labels] == ["dog"]


async def test_another_classifier_is_chosen_by_name():
    """A model that is no default answers when it is named; one without ids leaves them empty."""
    async with pictures() as (stub, _):
        response = await stub.ClassifyImage(pb.ClassifyImageRequest(image=IMAGE, model="digits", max_results=1))
    assert (response.model, response.labels[0].name, response.labels[0].label_id) == ("digits", "0", "")


async def test_only_what_the_model_takes_is_rendered():
    """A feature's own RPC has the picture rendered once, at the size of its model."""
    preprocessor = FakePreprocessor()
    async with pictures(preprocessor=preprocessor) as (stub, _):
        await stub.ClassifyImage(pb.ClassifyImageRequest(image=IMAGE))
    assert preprocessor.rendered == [[Target(8, 4, "cover", 0.875)]]


async def test_a_picture_may_be_named_by_an_address():
    """What lies at the uri is analysed."""
    preprocessor = FakePreprocessor()
    async with pictures(preprocessor=preprocessor) as (stub, _):
        request = pb.ClassifyImageRequest(image=media_pb2.Image(uri="https://pictures.example/dog.jpg"))
        assert (await stub.ClassifyImage(request)).labels[0].name == "dog"


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({}, "image.content"),
        ({"image": IMAGE, "max_results": 1001}, "max_results"),
        ({"image": IMAGE, "max_results": -1}, "max_results"),
        ({"image": IMAGE, "min_score": 1.5}, "min_score"),
        ({"image": IMAGE, "min_score": float("nan")}, "min_score"),
        ({"image": IMAGE, "request_id": "x"}, "request_id"),
    ],
)
async def test_bad_requests_name_the_field(request_fields, field):
    """INVALID_ARGUMENT names the field that is wrong, and nothing runs."""
    async with pictures() as (stub, inference):
        code, _, bad, _ = await failure(stub.ClassifyImage(pb.ClassifyImageRequest(**request_fields)))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    assert inference.calls == []


async def test_a_model_that_does_not_exist_is_not_found():
    """NOT_FOUND lists the models that there are."""
    async with pictures() as (stub, _):
        code, info, _, _ = await failure(stub.ClassifyImage(pb.ClassifyImageRequest(image=IMAGE, model="resnet")))
    assert code is grpc.StatusCode.NOT_FOUND
    assert info.metadata["known"] == "classifier, digits"


async def test_a_picture_that_cannot_be_read_is_the_caller_s_error():
    """What preprocessing says of image.content reaches the caller with its details."""
    preprocessor = FakePreprocessor(errors.InvalidArgument.field("image.content", "is not a picture"))
    async with pictures(preprocessor=preprocessor) as (stub, inference):
        code, _, bad, _ = await failure(stub.ClassifyImage(pb.ClassifyImageRequest(image=IMAGE)))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, "image.content")
    assert inference.calls == []


async def test_a_vector_has_length_one():
    """EmbedImage answers the features divided by their length, with the model and its version."""
    async with pictures() as (stub, _):
        response = await stub.EmbedImage(image_pb2.EmbedImageRequest(image=IMAGE, request_id=REQUEST_ID))
    np.testing.assert_allclose(response.embedding, [0.6, 0, 0.8], rtol=1e-6)
    assert (response.model, response.model_version, response.request_id) == ("classifier", "1", REQUEST_ID)


async def test_a_vector_of_nothing_stays_one():
    """Features that are all zero have no direction: the answer is zeros, not NaN."""

    def nothing(model, inputs):
        return answer(model, inputs) | {"features": np.zeros((1, 3), np.float32)}

    async with pictures(inference=FakeInference(nothing)) as (stub, _):
        response = await stub.EmbedImage(image_pb2.EmbedImageRequest(image=IMAGE))
    assert list(response.embedding) == [0, 0, 0]


async def test_only_models_that_embed_are_asked_to():
    """A classifier without features is no model for EmbedImage."""
    async with pictures() as (stub, _):
        code, info, _, _ = await failure(stub.EmbedImage(image_pb2.EmbedImageRequest(image=IMAGE, model="digits")))
    assert (code, info.metadata["known"]) == (grpc.StatusCode.NOT_FOUND, "classifier")
