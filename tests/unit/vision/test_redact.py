"""RedactImage."""

from dataclasses import replace

import grpc
import numpy as np
import pytest

from maas.type.v1 import media_pb2
from maas.vision.v1 import redaction_pb2 as pb
from services.mesh import errors
from services.mesh.ports import Region, Target
from services.mesh.testing import FakeInference, FakePreprocessor
from tests.failure import failure
from tests.unit.vision.pictures import IMAGE, REQUEST_ID, answer, line, lines, pictures

BOX = media_pb2.BoundingBox(x_min=0.5, y_min=0.5, x_max=0.75, y_max=1)


async def redacted(answer=answer, *, preprocessor=None, **fields):
    """The answer, and the preprocessor that was used."""
    preprocessor = preprocessor or FakePreprocessor()
    async with pictures(answer, preprocessor=preprocessor) as (stub, _):
        return await stub.RedactImage(pb.RedactImageRequest(image=IMAGE, **fields)), preprocessor


def close(region, *sides):
    """Whether these are the region's sides, but for rounding."""
    found = (region.x_min, region.y_min, region.x_max, region.y_max)
    return found == tuple(pytest.approx(side, abs=1e-5) for side in sides)


async def test_faces_are_covered_with_a_margin():
    """A fifth wider and higher than found, filled unless the request says otherwise; the answer tells where."""
    found, preprocessor = await redacted(faces=True, request_id=REQUEST_ID)
    ((method, (region,)),) = preprocessor.redacted
    assert (method, found.content, found.media_type) == ("fill", IMAGE.content, "image/jpeg")
    assert close(region, 0.225, 0.2, 0.525, 0.8)
    assert [each.kind for each in found.regions] == ["face"]
    assert close(found.regions[0].bounding_box, 0.225, 0.2, 0.525, 0.8)
    assert found.request_id == REQUEST_ID


async def test_faces_are_looked_for_at_two_scales():
    """At the model's own size and at twice that, where small faces are; a face that both find is one."""
    preprocessor = FakePreprocessor()
    async with pictures(preprocessor=preprocessor) as (stub, inference):
        found = await stub.RedactImage(pb.RedactImageRequest(image=IMAGE, faces=True))
    assert preprocessor.rendered == [[Target(64, 64, "inside"), Target(128, 128, "inside")]]
    assert sorted(inputs["images"].shape for _, inputs, _ in inference.calls) == [(1, 64, 64, 3), (1, 128, 128, 3)]
    assert len(found.regions) == 1


async def test_a_small_picture_has_one_scale():
    """What is no larger for the larger rendering is looked at once."""

    class Small(FakePreprocessor):
        async def render_image(self, content, targets, *, deadline):
            return await super().render_image(
                content, [replace(each, width=9, height=9) for each in targets], deadline=deadline
            )

    async with pictures(preprocessor=Small()) as (stub, inference):
        await stub.RedactImage(pb.RedactImageRequest(image=IMAGE, faces=True))
    assert len(inference.calls) == 1


@pytest.mark.parametrize(("score", "kinds"), [(0.31, ["face"]), (0.29, [])])
async def test_unlikely_faces_are_covered_too(score, kinds):
    """Down to 0.3."""

    def unsure(model, inputs):
        return answer(model, inputs) | {"scores": np.float32([[score]])}

    found, _ = await redacted(unsure, faces=True)
    assert [each.kind for each in found.regions] == kinds


async def test_writing_is_covered_whether_or_not_it_can_be_read():
    """Whatever its score, and where the model reads nothing at all; the margin may be none."""

    def writing(*_):
        return lines(line("", (0.25, 0.25, 0.5, 0.5), score=0), line("y", (0, 0, 0.5, 0.125), score=0.01))

    found, preprocessor = await redacted(writing, text=True, margin=0, method=pb.REDACTION_METHOD_BLUR)
    ((method, regions),) = preprocessor.redacted
    assert method == "blur"
    assert {Region(0.25, 0.25, 0.5, 0.5), Region(0, 0, 0.5, 0.125)} == set(regions)
    assert [each.kind for each in found.regions] == ["text", "text"]


async def test_given_places_are_covered_as_they_are():
    """Without a margin, and without any model."""
    preprocessor = FakePreprocessor()
    async with pictures(preprocessor=preprocessor) as (stub, inference):
        found = await stub.RedactImage(
            pb.RedactImageRequest(image=IMAGE, boxes=[BOX], method=pb.REDACTION_METHOD_PIXELATE)
        )
    assert preprocessor.redacted == [("pixelate", [Region(0.5, 0.5, 0.75, 1)])]
    assert [(each.kind, each.bounding_box) for each in found.regions] == [("box", BOX)]
    assert (preprocessor.rendered, inference.calls) == ([], [])


async def test_all_kinds_at_once():
    """Faces, writing and boxes in one call, for which the picture is rendered once."""
    found, preprocessor = await redacted(faces=True, text=True, boxes=[BOX])
    assert [each.kind for each in found.regions] == ["face", "text", "text", "box"]
    assert len(preprocessor.rendered) == len(preprocessor.redacted) == 1


async def test_where_nothing_is_found_the_metadata_goes_all_the_same():
    """The picture is written anew, with nothing covered."""
    found, preprocessor = await redacted(lambda *_: lines(), text=True)
    assert list(found.regions) == []
    assert preprocessor.redacted == [("fill", [Region(0, 0, 0, 0)])]


async def test_more_places_than_are_covered_at_once():
    """A page of more than a thousand lines is covered in one call, with neighbours as one; the answer tells all."""
    page = [line("x", (0.1, index / 1200, 0.2, (index + 0.5) / 1200)) for index in range(1200)]
    found, preprocessor = await redacted(lambda *_: lines(*page), text=True)
    ((_, regions),) = preprocessor.redacted
    assert len(regions) == 600
    assert len(found.regions) == 1200


async def test_places_inside_others_are_covered_once():
    """A hundred boxes over the whole picture are one."""
    whole = media_pb2.BoundingBox(x_max=1, y_max=1)
    found, preprocessor = await redacted(boxes=[BOX] + [whole] * 99)
    assert preprocessor.redacted == [("fill", [Region(0, 0, 1, 1)])]
    assert len(found.regions) == 100


async def test_what_cannot_be_looked_for_fails_the_call():
    """A picture is never answered with faces on it because the model was busy."""
    preprocessor = FakePreprocessor()
    async with pictures(preprocessor=preprocessor, inference=FakeInference(lambda *_: errors.Exhausted("full"))) as (
        stub,
        _,
    ):
        code, *_ = await failure(stub.RedactImage(pb.RedactImageRequest(image=IMAGE, faces=True, boxes=[BOX])))
    assert (code, preprocessor.redacted) == (grpc.StatusCode.RESOURCE_EXHAUSTED, [])


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "boxes"),
        ({"boxes": [BOX] * 101}, "boxes"),
        ({"boxes": [BOX, media_pb2.BoundingBox(x_max=1.1, y_max=1)]}, "boxes[1]"),
        ({"boxes": [media_pb2.BoundingBox(x_min=0.5, x_max=0.5, y_max=1)]}, "boxes[0]"),
        ({"boxes": [media_pb2.BoundingBox(x_max=1, y_min=0.6, y_max=0.5)]}, "boxes[0]"),
        ({"boxes": [media_pb2.BoundingBox(x_max=float("nan"), y_max=1)]}, "boxes[0]"),
        ({"faces": True, "method": 9}, "method"),
        ({"faces": True, "min_face_score": 1.1}, "min_face_score"),
        ({"faces": True, "margin": -0.1}, "margin"),
        ({"faces": True, "request_id": "7"}, "request_id"),
        ({"faces": True, "image": None}, "image.content"),
    ],
)
async def test_what_breaks_the_contract_is_refused(fields, field):
    """INVALID_ARGUMENT names the field, and nothing is decoded."""
    preprocessor = FakePreprocessor()
    async with pictures(preprocessor=preprocessor) as (stub, _):
        code, _, bad, _ = await failure(stub.RedactImage(pb.RedactImageRequest(**{"image": IMAGE, **fields})))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    assert (preprocessor.rendered, preprocessor.redacted) == ([], [])
