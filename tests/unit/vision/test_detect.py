"""DetectObjects: the picture as a whole, and in tiles."""

from itertools import pairwise

import grpc
import numpy as np
import pytest

from maas.vision.v1 import vision_pb2 as pb
from services.mesh.ports import Region
from services.mesh.testing import FakeInference, FakePreprocessor
from services.vision.pipelines.boxes import suppress
from services.vision.pipelines.tiling import tiles
from tests.failure import failure
from tests.unit.vision.pictures import IMAGE, pictures


async def test_each_object_is_found_once():
    """Two boxes on one thing become one, and weak objects are left out."""
    async with pictures() as (stub, _):
        everything = await stub.DetectObjects(pb.DetectObjectsRequest(image=IMAGE))
        sure = await stub.DetectObjects(pb.DetectObjectsRequest(image=IMAGE, min_score=0.7))
    assert [found.name for found in everything.objects] == ["dog", "person"]
    assert [found.name for found in sure.objects] == ["dog"]
    assert (everything.image_width, everything.image_height) == (640, 480)


async def test_boxes_are_fractions_of_the_original():
    """On a letterboxed picture boxes are mapped back to the original and cut at its edges."""
    preprocessor = FakePreprocessor(region=Region(0, 0, 1, 2))
    async with pictures(preprocessor=preprocessor) as (stub, _):
        response = await stub.DetectObjects(pb.DetectObjectsRequest(image=IMAGE, max_results=1))
    box = response.objects[0].bounding_box
    assert (box.x_min, box.y_min, box.x_max, box.y_max) == (0, 0, 0.5, 1)


async def test_what_is_seen_beside_the_picture_is_nothing():
    """A box that lies wholly in what was filled up is left out."""
    preprocessor = FakePreprocessor(region=Region(0, 0, 1, 2))
    async with pictures(preprocessor=preprocessor) as (stub, _):
        response = await stub.DetectObjects(pb.DetectObjectsRequest(image=IMAGE))
    assert [found.name for found in response.objects] == ["dog"]


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [({"max_results": 101}, "max_results"), ({"min_score": -0.1}, "min_score"), ({"tiling": 7}, "tiling")],
)
async def test_bad_requests_name_the_field(request_fields, field):
    """INVALID_ARGUMENT names the field that is wrong."""
    async with pictures() as (stub, _):
        code, _, bad, _ = await failure(stub.DetectObjects(pb.DetectObjectsRequest(image=IMAGE, **request_fields)))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, field)


def test_suppression_keeps_the_best_of_what_overlaps():
    """Of overlapping boxes the first stays; boxes that merely touch, and no boxes, are fine."""
    boxes = np.float32([[0, 0, 1, 1], [0, 0, 0.9, 0.9], [1, 1, 2, 2], [0, 1, 1, 2]])
    assert suppress(boxes) == [0, 2, 3]
    assert suppress(boxes, most=2) == [0, 2]
    assert suppress(boxes[:0]) == []


class Painted(FakePreprocessor):
    """Paints the whole picture, its left tile and its right one each in a colour of its own."""

    async def render_image(self, content, targets, *, deadline):
        rendered = await super().render_image(content, targets, deadline=deadline)
        for target, pixels in zip(targets, rendered, strict=True):
            pixels.pixels[:] = COLOURS.index(_name(target.region))
        return rendered


def _name(region):
    if region is None:
        return "whole"
    return "right" if region.x_min else "left"


COLOURS = ["whole", "left", "right"]
NOTHING = (0, 0, (0, 0, 0, 0))


def seeing(**things):
    """A detector that sees one thing on a rendering, by its name: class, score and box."""

    def detect(model, inputs):
        rows = [things.get(COLOURS[image[0, 0, 0]], NOTHING) for image in inputs["images"]]
        classes, scores, boxes = zip(*rows, strict=True)
        return {
            "classes": np.int64(classes)[:, None],
            "scores": np.float32(scores)[:, None],
            "boxes": np.float32(boxes)[:, None],
        }

    return FakeInference(detect)


async def tiled(inference, **fields):
    """What is found on a picture of 1000 x 600 pixels, which has two tiles: from 0 to 0.6 and from 0.4 to 1."""
    preprocessor = Painted(source=(1000, 600))
    async with pictures(inference=inference, preprocessor=preprocessor) as (stub, _):
        request = pb.DetectObjectsRequest(image=IMAGE, tiling=pb.TILING_ON, **fields)
        return await stub.DetectObjects(request), preprocessor


async def test_small_things_are_found_in_tiles():
    """What only a tile shows is found where it is on the picture, which is rendered whole first and then in tiles."""
    found, preprocessor = await tiled(seeing(right=(1, 0.9, (0.25, 0.5, 0.5, 0.75))))
    (dog,) = found.objects
    box = dog.bounding_box
    np.testing.assert_allclose([box.x_min, box.y_min, box.x_max, box.y_max], [0.7, 0.25, 0.85, 0.5], rtol=1e-5)
    assert [[target.region for target in call] for call in preprocessor.rendered] == [
        [None],
        [Region(0, 0, 0.6, 1), Region(pytest.approx(0.4), 0, pytest.approx(1), 1)],
    ]
    assert (found.image_width, found.image_height) == (1000, 600)


async def test_what_both_see_is_told_once():
    """A thing that is seen on the whole picture and in a tile is one thing, with the better score."""
    found, _ = await tiled(seeing(whole=(1, 0.6, (0, 0.7, 0.5, 0.9)), right=(1, 0.9, (0, 0.5, 0.5, 0.83))))
    assert [(thing.name, thing.score) for thing in found.objects] == [("dog", pytest.approx(0.9))]


async def test_a_piece_of_something_larger_is_left_out():
    """A box that ends where its tile does, inside a larger box, is a piece of it, although its score is better."""
    whole, piece = (0, 0.6, (0, 0.1, 1, 0.9)), (1, 0.95, (0.2, 0.5, 0.9, 1.0))
    found, _ = await tiled(seeing(whole=whole, left=piece))
    assert [thing.name for thing in found.objects] == ["person"]


async def test_a_piece_without_a_whole_stays():
    """What ends where its tile does, but lies inside nothing, is told: it may be all that is seen of it."""
    found, _ = await tiled(seeing(right=(1, 0.9, (0.25, 0, 0.5, 0.25))))
    assert [thing.name for thing in found.objects] == ["dog"]


async def test_what_ends_at_the_edge_of_the_picture_is_no_piece():
    """A small thing at the picture's own edge stays beside a larger one around it."""
    whole, small = (0, 0.9, (0, 0, 1, 0.9)), (1, 0.8, (0.4, 0.0, 0.6, 0.2))
    found, _ = await tiled(seeing(whole=whole, left=small))
    assert [thing.name for thing in found.objects] == ["person", "dog"]


async def test_a_small_picture_has_no_tiles():
    """At 600 pixels a side it is looked at as a whole only."""
    preprocessor = FakePreprocessor(source=(600, 600))
    async with pictures(preprocessor=preprocessor) as (stub, inference):
        await stub.DetectObjects(pb.DetectObjectsRequest(image=IMAGE, tiling=pb.TILING_ON))
    assert (len(preprocessor.rendered), len(inference.calls)) == (1, 1)


async def test_tiles_share_batches():
    """As many tiles as the model takes go into one inference."""
    preprocessor = FakePreprocessor(source=(3000, 600))
    async with pictures(preprocessor=preprocessor) as (stub, inference):
        await stub.DetectObjects(pb.DetectObjectsRequest(image=IMAGE, tiling=pb.TILING_ON))
    assert sorted(len(inputs["images"]) for _, inputs, _ in inference.calls) == [1, 2, 4]


@pytest.mark.parametrize(
    ("size", "count"),
    [((600, 600), 0), ((601, 600), 2), ((1080, 600), 2), ((1920, 1080), 8), ((8000, 6000), 24), ((16384, 1), 24)],
)
def test_tiles_cover_the_picture(size, count):
    """Tiles begin and end at its edges, overlap by a fifth at least, and are 24 at most."""
    found = tiles(*size)
    assert len(found) == count or 12 <= len(found) <= 24 == count
    for low, high in (("x_min", "x_max"), ("y_min", "y_max")):
        spans = sorted({(getattr(tile, low), getattr(tile, high)) for tile in found}) or [(0, 1)]
        assert (spans[0][0], spans[-1][1]) == (0, pytest.approx(1))
        for (begin, end), (following, _) in pairwise(spans):
            assert end - following >= 0.199 * (end - begin)
