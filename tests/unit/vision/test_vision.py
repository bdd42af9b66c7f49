"""What GetVisionConfig tells, and what all RPCs about one picture do alike."""

import grpc
import pytest

from maas.vision.v1 import face_pb2, image_pb2, redaction_pb2, vision_pb2_grpc
from maas.vision.v1 import vision_pb2 as pb
from services.mesh import errors
from services.mesh.testing import FakeInference, FakePreprocessor, known_models, serve
from services.vision.app import servicer
from tests.failure import failure
from tests.unit.vision.pictures import CARDS, IMAGE, REQUEST_ID, answer


async def test_the_configuration_lists_what_is_ready():
    """Models that are still loading are not listed; a model tells all that it does."""
    known = await known_models(*CARDS, loading=["faces", "pose"])
    async with serve(servicer(FakeInference(answer), FakePreprocessor(), known)) as channel:
        config = await vision_pb2_grpc.VisionServiceStub(channel).GetVisionConfig(pb.GetVisionConfigRequest())
    assert [(model.name, model.task, list(model.other_tasks)) for model in config.models] == [
        ("classifier", "image-classification", ["image-embedding"]),
        ("digits", "image-classification", []),
        ("safety", "image-safety", []),
        ("detector", "object-detection", []),
        ("mask", "person-segmentation", []),
        ("reader", "text-recognition", []),
    ]


@pytest.mark.parametrize(
    ("rpc", "request_"),
    [
        ("ClassifyImage", pb.ClassifyImageRequest()),
        ("EmbedImage", image_pb2.EmbedImageRequest()),
        ("DetectObjects", pb.DetectObjectsRequest()),
        ("DetectObjects", pb.DetectObjectsRequest(tiling=pb.TILING_ON)),
        ("RecognizeText", image_pb2.RecognizeTextRequest()),
        ("DetectFaces", face_pb2.DetectFacesRequest()),
        ("RedactImage", redaction_pb2.RedactImageRequest(faces=True)),
        (
            "AnnotateImage",
            pb.AnnotateImageRequest(features=[pb.ImageFeatureRequest(feature=pb.IMAGE_FEATURE_LABELS)]),
        ),
    ],
)
async def test_every_rpc_about_one_picture(rpc, request_):
    """It echoes its id, refuses one that is no UUID, asks for the picture, and passes on what is wrong with it."""
    preprocessor = FakePreprocessor()
    known = await known_models(*CARDS)
    async with serve(servicer(FakeInference(answer), preprocessor, known)) as channel:
        call = getattr(vision_pb2_grpc.VisionServiceStub(channel), rpc)
        request_.request_id = REQUEST_ID
        _, _, nothing, _ = await failure(call(request_))
        request_.image.CopyFrom(IMAGE)
        assert (await call(request_)).request_id == REQUEST_ID
        request_.request_id = "7"
        _, _, named, _ = await failure(call(request_))
        request_.request_id = ""
        preprocessor.error = errors.InvalidArgument.field("image.content", "is not a picture")
        code, _, broken, _ = await failure(call(request_))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    fields = [bad.field_violations[0].field for bad in (nothing, named, broken)]
    assert fields == ["image.content", "request_id", "image.content"]
