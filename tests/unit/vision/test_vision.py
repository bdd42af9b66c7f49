"""The vision service over a real socket, with faked ports."""

from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest
from grpc_status import rpc_status

from maas.type.v1 import media_pb2
from maas.vision.v1 import vision_pb2 as pb
from maas.vision.v1 import vision_pb2_grpc
from services.mesh import errors
from services.mesh.models import ModelCard
from services.mesh.ports import Region
from services.mesh.testing import FakeInference, FakePreprocessor, known_models, serve
from services.vision.app import servicer
from services.vision.pipelines.detect import suppress

CLASSIFIER = ModelCard(
    name="classifier",
    task="image-classification",
    summary="Classifies.",
    labels=("cat", "dog", "cup"),
    preprocess={"width": 8, "height": 4, "fit": "cover", "crop_fraction": 0.875},
)
DETECTOR = ModelCard(
    name="detector",
    task="object-detection",
    summary="Detects.",
    labels=("cat", "dog"),
    preprocess={"width": 6, "height": 6, "fit": "contain"},
)
IMAGE = media_pb2.Image(content=b"a picture")


def answer(model, inputs):
    """A dog; and two dogs on top of each other beside a weak cat."""
    if model == "classifier":
        return {"scores": np.float32([[0.2, 0.7, 0.1]])}
    return {
        "boxes": np.float32([[[0, 0, 0.5, 0.5], [0.01, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]]]),
        "scores": np.float32([[0.9, 0.8, 0.6]]),
        "classes": np.int64([[1, 1, 0]]),
    }


@asynccontextmanager
async def vision(preprocessor=None):
    inference = FakeInference(answer)
    models = await known_models(CLASSIFIER, DETECTOR)
    async with serve(servicer(inference, preprocessor or FakePreprocessor(), models)) as channel:
        yield vision_pb2_grpc.VisionServiceStub(channel), inference


async def test_labels_come_best_first():
    """Labels carry name, score and index, best first, and max_results bounds them."""
    async with vision() as (stub, inference):
        response = await stub.ClassifyImage(pb.ClassifyImageRequest(image=IMAGE, max_results=2))
    assert [(label.name, label.index) for label in response.labels] == [("dog", 1), ("cat", 0)]
    assert inference.calls[0][1]["images"].shape == (1, 4, 8, 3)


async def test_weak_labels_are_left_out():
    """Labels below min_score are not in the answer."""
    async with vision() as (stub, _):
        response = await stub.ClassifyImage(pb.ClassifyImageRequest(image=IMAGE, min_score=0.5))
    assert [label.name for label in response.labels] == ["dog"]


async def test_each_object_is_found_once():
    """Two boxes on one thing become one, and weak objects are left out."""
    async with vision() as (stub, _):
        everything = await stub.DetectObjects(pb.DetectObjectsRequest(image=IMAGE))
        sure = await stub.DetectObjects(pb.DetectObjectsRequest(image=IMAGE, min_score=0.7))
    assert [found.name for found in everything.objects] == ["dog", "cat"]
    assert [found.name for found in sure.objects] == ["dog"]
    assert (everything.image_width, everything.image_height) == (640, 480)


async def test_boxes_are_fractions_of_the_original():
    """On a letterboxed picture boxes are mapped back to the original and cut at its edges."""
    preprocessor = FakePreprocessor(region=Region(0, 0, 1, 2))
    async with vision(preprocessor) as (stub, _):
        response = await stub.DetectObjects(pb.DetectObjectsRequest(image=IMAGE, max_results=1))
    box = response.objects[0].bounding_box
    assert (box.x_min, box.y_min, box.x_max, box.y_max) == (0, 0, 0.5, 1)


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({}, "image.content"),
        ({"image": IMAGE, "max_results": 1001}, "max_results"),
        ({"image": IMAGE, "min_score": 1.5}, "min_score"),
        ({"image": IMAGE, "request_id": "x"}, "request_id"),
    ],
)
async def test_bad_requests_name_the_field(request_fields, field):
    """INVALID_ARGUMENT names the field that is wrong."""
    async with vision() as (stub, _):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ClassifyImage(pb.ClassifyImageRequest(**request_fields))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details().startswith(f"{field}:")


async def test_a_picture_that_cannot_be_read_is_the_caller_s_error():
    """What preprocessing says of image.content reaches the caller with its details."""
    preprocessor = FakePreprocessor(errors.InvalidArgument.field("image.content", "is not a picture"))
    async with vision(preprocessor) as (stub, inference):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.DetectObjects(pb.DetectObjectsRequest(image=IMAGE))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert any(b"image.content" in detail.value for detail in rpc_status.from_call(caught.value).details)
    assert inference.calls == []


def test_suppression_keeps_the_best_of_what_overlaps():
    """Of overlapping boxes the first stays; boxes that merely touch, and no boxes, are fine."""
    boxes = np.float32([[0, 0, 1, 1], [0, 0, 0.9, 0.9], [1, 1, 2, 2], [0, 1, 1, 2]])
    assert suppress(boxes) == [0, 2, 3]
    assert suppress(boxes[:0]) == []
