"""The features about people: postures and the person mask."""

import io

import numpy as np
import pytest
from PIL import Image

from maas.type.v1 import media_pb2
from maas.vision.v1 import image_pb2
from maas.vision.v1 import vision_pb2 as pb
from services.mesh.ports import Region, Target
from services.mesh.testing import FakeInference, FakePreprocessor
from tests.unit.vision.pictures import annotated, wanted


async def test_a_posture_is_mapped_back_to_the_picture():
    """People are cut out with a margin; the middle of the cut is the middle of the person, whatever its proportions."""
    found, preprocessor = await annotated(*wanted(pb.IMAGE_FEATURE_POSE))
    (pose,) = found.poses
    assert [point.body_part for point in pose.keypoints] == list(range(1, 18))
    assert pose.keypoints[0].body_part == image_pb2.BODY_PART_NOSE
    assert pose.keypoints[0].position.x == pytest.approx(0.75, abs=1e-3)
    # A quarter from the top of a square a quarter wider than the person, who is half as high as the picture.
    assert pose.keypoints[0].position.y == pytest.approx(0.75 - 0.25 * 0.5 * 1.25, abs=1e-3)
    assert pose.score == 0.5
    assert pose.bounding_box == media_pb2.BoundingBox(x_min=0.5, y_min=0.5, x_max=1, y_max=1)
    assert preprocessor.rendered == [[Target(6, 6, "contain"), Target(1280, 1280, "inside")]]


async def test_people_share_batches():
    """Several people go through the model as many at once as it takes, the surest first, bounded by max_results."""

    def crowd(model, inputs):
        if model == "pose":
            return {"keypoints": np.tile(np.float32([0.5, 0.5, 0.9]), (len(inputs["images"]), 17, 1))}
        boxes = [[0.2 * index, 0, 0.2 * index + 0.1, 0.1] for index in range(4)]
        return {
            "boxes": np.float32([boxes]),
            "scores": np.float32([[0.9, 0.8, 0.7, 0.6]]),
            "classes": np.int64([[0, 0, 1, 0]]),
        }

    inference = FakeInference(crowd)
    found, _ = await annotated(*wanted(pb.IMAGE_FEATURE_POSE), inference=inference)
    assert [round(pose.bounding_box.y_min, 1) for pose in found.poses] == [0, 0.2, 0.6]
    assert sorted(len(inputs["images"]) for model, inputs, _ in inference.calls if model == "pose") == [1, 2]
    fewer, _ = await annotated(*wanted(pb.IMAGE_FEATURE_POSE, max_results=1), inference=FakeInference(crowd))
    assert len(fewer.poses) == 1


@pytest.mark.parametrize(("score", "count"), [(0.29, 0), (0.31, 1)])
async def test_without_people_the_whole_picture_is_looked_at(score, count):
    """Where nobody was found a posture is told when it is likely, in a box as large as the picture."""

    def nobody(model, inputs):
        if model == "pose":
            return {"keypoints": np.tile(np.float32([0.5, 0.5, score]), (1, 17, 1))}
        return {"boxes": np.zeros((1, 0, 4)), "scores": np.zeros((1, 0)), "classes": np.zeros((1, 0), int)}

    found, _ = await annotated(*wanted(pb.IMAGE_FEATURE_POSE), answer=nobody)
    assert [pose.bounding_box for pose in found.poses] == [media_pb2.BoundingBox(x_max=1, y_max=1)] * count


async def test_a_mask_has_the_picture_s_proportions():
    """The mask is a PNG of one channel, at most 1024 pixels a side, white where people are."""
    found, _ = await annotated(
        *wanted(pb.IMAGE_FEATURE_PERSON_MASK), preprocessor=FakePreprocessor(source=(4096, 1024))
    )
    mask = Image.open(io.BytesIO(found.person_mask.png))
    assert (mask.format, mask.mode, mask.size) == ("PNG", "L", (1024, 256))
    assert (found.person_mask.width, found.person_mask.height) == mask.size
    assert [mask.getpixel((x, 128)) for x in (0, 300, 723, 1023)] == [255, 255, 0, 0]
    assert found.person_mask.coverage == pytest.approx(0.5, abs=0.01)


async def test_a_mask_leaves_out_what_was_filled_up():
    """Of a mask over a letterboxed picture only the picture's part counts."""
    found, _ = await annotated(
        *wanted(pb.IMAGE_FEATURE_PERSON_MASK), preprocessor=FakePreprocessor(region=Region(0, 0, 2, 1))
    )
    assert found.person_mask.coverage == 1
