"""Faces cut out of a picture."""

import numpy as np
import pytest

from services.mesh.models import ModelCard
from services.mesh.ports import Pixels, Region
from services.vision.pipelines.faces.align import cut_out
from services.vision.pipelines.faces.face import Face

TEMPLATE = np.array([[0.7, 0.3], [0.3, 0.3], [0.5, 0.5], [0.65, 0.7], [0.35, 0.7]])
ALIGNED = ModelCard(
    name="aligned",
    task="face-embedding",
    summary="Compares.",
    preprocess={"width": 50, "height": 50, "landmarks": TEMPLATE.tolist()},
)
COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255]], np.uint8)
WHOLE = Region(0, 0, 1, 1)


def boxed(margin=0.0, side=10):
    """A model that takes boxes."""
    return ModelCard(
        name="boxed", task="face-age", summary="Guesses.", preprocess={"width": side, "height": side, "margin": margin}
    )


def painted(points, height=200, width=300):
    """A grey picture with a patch of another colour at each of the points, in pixels."""
    picture = np.full((height, width, 3), 100, np.uint8)
    for (x, y), colour in zip(np.round(points).astype(int), COLOURS, strict=True):
        picture[max(0, y - 6) : y + 7, max(0, x - 6) : x + 7] = colour
    return picture


def face(points=TEMPLATE, box=WHOLE):
    """A face whose landmarks lie there, in fractions."""
    return Face(box, 0.9, np.asarray(points, np.float32))


def cut(picture, faces, card, region=WHOLE):
    """What one model gets of the faces."""
    height, width = picture.shape[:2]
    (images,) = cut_out(Pixels(picture, width, height, region), faces, [card])
    return images


@pytest.mark.parametrize("degrees", [0, 30, 180])
@pytest.mark.parametrize("size", [40, 120])
def test_landmarks_go_where_the_template_says(degrees, size):
    """However a face is turned, and however large it is, its landmarks come to the same places."""
    turn = np.radians(degrees)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    points = (TEMPLATE - 0.5) @ rotation * size + [150, 100]
    (chip,) = cut(painted(points), [face(points / [300, 200])], ALIGNED)
    assert chip.shape == (50, 50, 3)
    assert chip.dtype == np.uint8
    for (x, y), colour in zip(TEMPLATE * 50, COLOURS, strict=True):
        assert np.abs(chip[int(y), int(x)].astype(int) - colour).max() < 30


def test_each_model_gets_each_face():
    """In the order of the models and of the faces, each of the model's own size."""
    picture = painted(TEMPLATE * 100)
    pixels = Pixels(picture, 300, 200, WHOLE)
    aligned, by_box = cut_out(pixels, [face(), face(), face()], [ALIGNED, boxed(side=8)])
    assert [image.shape for image in aligned] == [(50, 50, 3)] * 3
    assert [image.shape for image in by_box] == [(8, 8, 3)] * 3


def test_what_lies_outside_is_black():
    """A face that leaves the picture is filled up; one that lies outside altogether is black, and no error."""
    white = np.full((100, 100, 3), 255, np.uint8)
    half, nothing = cut(white, [face(TEMPLATE - [0.5, 0]), face(TEMPLATE + 3)], ALIGNED)
    assert not half[:, :24].any()
    assert (half[1:-1, 26:-1] == 255).all()
    assert not nothing.any()


def test_a_degenerate_face_is_no_error():
    """Landmarks that are all one point give a picture of one colour."""
    (chip,) = cut(painted(TEMPLATE * 100), [face(np.full((5, 2), 0.9))], ALIGNED)
    assert (chip == 100).all()


def test_a_large_face_is_averaged():
    """Where many pixels become one, all of them count: stripes of black and white become grey."""
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    (chip,) = cut(stripes, [face()], ALIGNED)
    assert np.abs(chip[5:-5, 5:-5].astype(int) - 127).max() <= 3


def test_a_box_with_a_margin():
    """The margin is added at each side, and the whole is stretched to the model's size."""
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[40:60, 80:120] = 255
    box = Region(0.4, 0.4, 0.6, 0.6)
    (tight,) = cut(picture, [face(box=box)], boxed(0.0))
    (wide,) = cut(picture, [face(box=box)], boxed(0.5, side=40))
    assert (tight[1:-1, 1:-1] == 255).all()
    assert (wide[11:29, 11:29] == 255).all()
    assert not wide[:9].any()
    assert not wide[:, :9].any()


def test_a_rendering_of_a_part():
    """Where the rendering shows a part of the picture only, places are still those of the picture."""
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[20:40, 60:80] = 255
    box = Region(0.5 + 0.3, 0.5 + 0.1, 0.5 + 0.4, 0.5 + 0.2)
    (found,) = cut(picture, [face(box=box)], boxed(), region=Region(0.5, 0.5, 1, 1))
    assert (found[1:-1, 1:-1] == 255).all()
