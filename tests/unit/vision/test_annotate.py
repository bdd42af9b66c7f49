"""AnnotateImage and BatchAnnotateImages."""

import asyncio

import grpc
import numpy as np
import pytest

from maas.type.v1 import media_pb2
from maas.vision.v1 import face_pb2
from maas.vision.v1 import vision_pb2 as pb
from services.mesh import errors
from services.mesh.testing import FakeInference, FakePreprocessor
from tests.failure import failure
from tests.unit.vision.pictures import (
    CARDS,
    DETECTOR,
    IMAGE,
    POSE,
    REQUEST_ID,
    SAFETY,
    annotated,
    answer,
    pictures,
    wanted,
)

ALL = [pb.ImageFeatureRequest(feature=feature) for feature in pb.ImageFeature.values() if feature]


async def test_all_features_of_one_picture():
    """Each feature fills its part of the answer and says which model it is from; the picture is decoded once."""
    found, preprocessor = await annotated(*ALL)
    assert [label.name for label in found.labels] == ["dog", "cat", "cup"]
    np.testing.assert_allclose(found.embedding, [0.6, 0, 0.8], rtol=1e-6)
    assert [thing.name for thing in found.objects] == ["dog", "person"]
    assert [face.score for face in found.faces] == [pytest.approx(0.9)]
    assert [line.text for line in found.text_lines] == ["below"]
    assert found.safety.unsafe_score == 0.25
    assert len(found.poses) == 1
    assert found.person_mask.coverage == 0.5
    assert (found.image_width, found.image_height) == (640, 480)
    assert [(each.feature, each.model) for each in found.models] == [
        (pb.IMAGE_FEATURE_LABELS, "classifier"),
        (pb.IMAGE_FEATURE_EMBEDDING, "classifier"),
        (pb.IMAGE_FEATURE_OBJECTS, "detector"),
        (pb.IMAGE_FEATURE_FACES, "faces"),
        (pb.IMAGE_FEATURE_TEXT, "reader"),
        (pb.IMAGE_FEATURE_SAFETY, "safety"),
        (pb.IMAGE_FEATURE_POSE, "pose"),
        (pb.IMAGE_FEATURE_PERSON_MASK, "mask"),
    ]
    assert list(found.failures) == []
    (call,) = preprocessor.rendered
    assert len(call) == len(set(call))


async def test_features_run_at_the_same_time():
    """All models are asked before any has answered."""
    features = wanted(pb.IMAGE_FEATURE_LABELS, pb.IMAGE_FEATURE_OBJECTS, pb.IMAGE_FEATURE_SAFETY)
    barrier = asyncio.Barrier(len(features))

    class Meeting(FakeInference):
        async def infer(self, model, inputs, outputs, *, deadline):
            await barrier.wait()
            return await super().infer(model, inputs, outputs, deadline=deadline)

    found, _ = await annotated(*features, inference=Meeting(answer))
    assert len(found.models) == len(features)


async def test_a_feature_fails_alone():
    """A model that fails leaves its feature empty, with the reason; the others answer."""

    def failing(model, inputs):
        return errors.Exhausted("full", retry_after_seconds=1) if model == "detector" else answer(model, inputs)

    found, _ = await annotated(*wanted(pb.IMAGE_FEATURE_OBJECTS, pb.IMAGE_FEATURE_LABELS), answer=failing)
    (failed,) = found.failures
    assert (failed.feature, failed.status.code) == (
        pb.IMAGE_FEATURE_OBJECTS,
        grpc.StatusCode.RESOURCE_EXHAUSTED.value[0],
    )
    assert found.labels[0].name == "dog"
    assert [each.feature for each in found.models] == [pb.IMAGE_FEATURE_LABELS]


@pytest.mark.parametrize("feature", [pb.IMAGE_FEATURE_SAFETY, pb.IMAGE_FEATURE_POSE])
async def test_a_model_that_is_loading_fails_its_feature_alone(feature):
    """UNAVAILABLE stands at the feature, also where it is the feature's second model that loads."""
    loading = [SAFETY.name, DETECTOR.name]
    found, _ = await annotated(*wanted(feature, pb.IMAGE_FEATURE_LABELS), loading=loading)
    assert [(each.feature, each.status.code) for each in found.failures] == [
        (feature, grpc.StatusCode.UNAVAILABLE.value[0])
    ]
    assert found.labels[0].name == "dog"


async def test_a_task_without_a_model_fails_its_feature_alone():
    """UNIMPLEMENTED stands at the feature; with no other feature the picture is still opened."""
    cards = [card for card in CARDS if card is not POSE]
    found, preprocessor = await annotated(
        *wanted(pb.IMAGE_FEATURE_POSE), cards=cards, optional_tasks=["pose-estimation"]
    )
    assert [each.status.code for each in found.failures] == [grpc.StatusCode.UNIMPLEMENTED.value[0]]
    assert (found.image_width, len(preprocessor.rendered)) == (640, 1)


async def test_the_picture_fails_the_call():
    """A picture that cannot be opened fails the whole call, and no model runs."""
    preprocessor = FakePreprocessor(errors.InvalidArgument.field("image.content", "is not a picture"))
    async with pictures(preprocessor=preprocessor) as (stub, inference):
        code, _, bad, _ = await failure(stub.AnnotateImage(pb.AnnotateImageRequest(image=IMAGE, features=ALL)))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, "image.content")
    assert inference.calls == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"features": []}, "features"),
        ({"features": [*ALL, ALL[0]]}, "features"),
        ({"features": [ALL[0], ALL[0]]}, "features[1].feature"),
        ({"features": [ALL[0], pb.ImageFeatureRequest()]}, "features[1].feature"),
        ({"features": wanted(77)}, "features[0].feature"),
        ({"features": wanted(pb.IMAGE_FEATURE_LABELS, max_results=1001)}, "features[0].max_results"),
        ({"features": wanted(pb.IMAGE_FEATURE_OBJECTS, max_results=101)}, "features[0].max_results"),
        ({"features": wanted(pb.IMAGE_FEATURE_FACES, max_results=101)}, "features[0].max_results"),
        ({"features": wanted(pb.IMAGE_FEATURE_POSE, max_results=21)}, "features[0].max_results"),
        ({"features": [ALL[0], *wanted(pb.IMAGE_FEATURE_TEXT, min_score=2)]}, "features[1].min_score"),
        ({"features": wanted(pb.IMAGE_FEATURE_FACES, face_attributes=[0])}, "features[0].face_attributes[0]"),
        ({"features": wanted(pb.IMAGE_FEATURE_FACES, face_attributes=[1, 1])}, "features[0].face_attributes[1]"),
        ({"request_id": "7"}, "request_id"),
        ({"image": media_pb2.Image()}, "image.content"),
    ],
)
async def test_what_breaks_the_contract_is_refused(fields, field):
    """INVALID_ARGUMENT names the field, and nothing is decoded or run."""
    preprocessor = FakePreprocessor()
    async with pictures(preprocessor=preprocessor) as (stub, inference):
        request = pb.AnnotateImageRequest(**{"image": IMAGE, "features": ALL, **fields})
        code, _, bad, _ = await failure(stub.AnnotateImage(request))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    assert (preprocessor.rendered, inference.calls) == ([], [])


async def test_a_model_that_does_not_exist_fails_the_call():
    """NOT_FOUND, as at the feature's own RPC."""
    async with pictures() as (stub, inference):
        features = wanted(pb.IMAGE_FEATURE_SAFETY, model="classifier")
        code, _, _, _ = await failure(stub.AnnotateImage(pb.AnnotateImageRequest(image=IMAGE, features=features)))
    assert (code, inference.calls) == (grpc.StatusCode.NOT_FOUND, [])


async def test_each_feature_has_its_own_choices():
    """max_results and min_score bound the feature that they stand at."""
    found, _ = await annotated(
        *wanted(pb.IMAGE_FEATURE_LABELS, max_results=1),
        *wanted(pb.IMAGE_FEATURE_OBJECTS, min_score=0.7),
        *wanted(pb.IMAGE_FEATURE_TEXT, min_score=0.4),
    )
    assert (len(found.labels), len(found.objects), len(found.text_lines)) == (1, 1, 2)


async def test_attributes_of_faces_reach_the_finder():
    """An attribute that has no model fails the faces alone."""
    features = wanted(pb.IMAGE_FEATURE_FACES, face_attributes=[face_pb2.FACE_ATTRIBUTE_AGE])
    found, _ = await annotated(*features, ALL[0])
    assert [each.feature for each in found.failures] == [pb.IMAGE_FEATURE_FACES]
    assert found.labels[0].name == "dog"


class Picky(FakePreprocessor):
    """Cannot read pictures that are called broken; keeps how many it renders at the same time."""

    at_once = most = 0

    async def render_image(self, content, targets, *, deadline):
        if content == b"broken":
            raise errors.InvalidArgument.field("image.content", "is not a picture")
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        self.source = (len(content), 1)
        return await super().render_image(content, targets, deadline=deadline)


async def test_a_batch_keeps_its_order_and_a_bad_picture_fails_alone():
    """Each picture has its own result in its place; the error names the picture that it is about."""
    images = [media_pb2.Image(content=content) for content in (b"1", b"broken", b"333", b"", b"55555")]
    async with pictures(preprocessor=Picky()) as (stub, _):
        response = await stub.BatchAnnotateImages(
            pb.BatchAnnotateImagesRequest(images=images, features=ALL[:1], request_id=REQUEST_ID)
        )
    assert response.request_id == REQUEST_ID
    assert [result.annotation.image_width for result in response.results] == [1, 0, 3, 0, 5]
    assert [result.status.code for result in response.results] == [0, 3, 0, 3, 0]
    assert response.results[1].status.message == "images[1].content: is not a picture"
    assert response.results[3].status.message.startswith("images[3].content: ")
    assert [result.HasField("annotation") for result in response.results] == [True, False, True, False, True]


async def test_a_batch_opens_few_pictures_at_once():
    """Four of sixteen at most."""
    preprocessor = Picky()
    async with pictures(preprocessor=preprocessor) as (stub, _):
        await stub.BatchAnnotateImages(pb.BatchAnnotateImagesRequest(images=[IMAGE] * 16, features=ALL[:1]))
    assert (preprocessor.most, len(preprocessor.rendered)) == (4, 16)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"images": []}, "images"),
        ({"images": [IMAGE] * 17}, "images"),
        ({"features": wanted(0)}, "features[0].feature"),
        ({"request_id": "7"}, "request_id"),
    ],
)
async def test_a_batch_that_breaks_the_contract_is_refused(fields, field):
    """INVALID_ARGUMENT names the field, and nothing is decoded."""
    preprocessor = FakePreprocessor()
    async with pictures(preprocessor=preprocessor) as (stub, _):
        request = pb.BatchAnnotateImagesRequest(**{"images": [IMAGE], "features": ALL, **fields})
        code, _, bad, _ = await failure(stub.BatchAnnotateImages(request))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    assert preprocessor.rendered == []
