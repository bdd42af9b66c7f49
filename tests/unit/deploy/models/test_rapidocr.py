"""What the code around RapidOCR does: corners as they are read, second tries, small pictures, refusals."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from rapidocr.main import RapidOCRError

from tests.unit.deploy.models.conftest import StubRequest

BOX = np.array([[10, 20], [90, 20], [90, 40], [10, 40]], np.float32)
TALL = np.array([[10, 10], [30, 10], [30, 90], [10, 90]], np.float32)


class Library:
    """Stands in for RapidOCR: one line, and how well it reads by how it stands."""

    def __init__(self, box, crop, direction=("0", 1.0), best=0):
        self.box, self.crop, self.direction, self.best = box, crop, direction, best
        self.reads = 0

    def detect_and_crop(self, picture, _record):
        self.seen = picture
        if self.box is None:
            raise RapidOCRError
        return [self.crop], SimpleNamespace(boxes=np.array([self.box]))

    def cls_and_rotate(self, crops):
        return crops, SimpleNamespace(cls_res=[self.direction])

    def recognize_txt(self, crops):
        self.reads += len(crops)
        right = np.rot90(self.crop, self.best)
        scores = [0.99 if np.array_equal(crop, right) else 0.4 for crop in crops]
        return SimpleNamespace(txts=["right" if score > 0.9 else "wrong" for score in scores], scores=scores)


@pytest.fixture
def model(pb_utils):
    """A function that gives the model on such a library."""
    from deploy.triton.models.rapidocr import model as module  # noqa: PLC0415 - needs the stand-in

    def on(library):
        made = module.TritonPythonModel()
        made._reader = library
        return made

    return on


def read(model, picture):
    """The lines of a picture, through Triton's interface."""
    (response,) = model.execute([StubRequest(["lines"], images=picture)])
    assert response.error is None
    return json.loads(response.outputs["lines"][0])


def crop(height, width):
    """Something that is not the same when turned."""
    return np.arange(height * width * 3).reshape(height, width, 3).astype(np.uint8)


WHITE = np.full((300, 400, 3), 255, np.uint8)


@pytest.mark.parametrize(
    ("box", "direction", "best", "first"),
    [
        (BOX, ("0", 1.0), 0, (10, 20)),
        (BOX, ("180", 1.0), 2, (90, 40)),
        (TALL, ("0", 1.0), 0, (30, 10)),  # turned to the left by the library: it reads downwards
        (TALL, ("180", 1.0), 2, (10, 90)),
    ],
)
def test_the_first_corner_is_where_reading_begins(model, box, direction, best, first):
    """Upright, upside down, downwards and upwards."""
    (line,) = read(model(Library(box, crop(20, 80), direction, best)), WHITE)
    assert line["text"] == "right"
    assert line["corners"][0] == pytest.approx([first[0] / 400, first[1] / 300], abs=1e-4)
    assert len(line["corners"]) == 4


def test_what_the_classifier_turned_wrongly_is_turned_back(model):
    """A line that reads badly upside down is tried upright, and its corners follow."""
    library = Library(BOX, crop(20, 80), ("180", 0.99), best=0)
    (line,) = read(model(library), WHITE)
    assert (line["text"], library.reads) == ("right", 2)
    assert line["corners"][0] == pytest.approx([10 / 400, 20 / 300], abs=1e-4)


def test_a_lone_tall_character_is_read_standing(model):
    """What the library laid on its side because it is tall is tried as it stands too."""
    (line,) = read(model(Library(TALL, crop(20, 80), best=-1)), WHITE)
    assert line["text"] == "right"
    assert line["corners"][0] == pytest.approx([10 / 400, 10 / 300], abs=1e-4)


def test_what_reads_well_is_read_once(model):
    """No time goes into a second look at a good line."""
    library = Library(BOX, crop(20, 80))
    read(model(library), WHITE)
    assert library.reads == 1


@pytest.mark.parametrize("text", ["", " "])
def test_what_cannot_be_read_is_told_all_the_same(model, text):
    """A place that the detector found stays, without text and with a score of 0: it may have to be covered."""
    library = Library(BOX, crop(20, 80))
    library.recognize_txt = lambda crops: SimpleNamespace(txts=[text] * len(crops), scores=[0.6] * len(crops))
    (line,) = read(model(library), WHITE)
    assert (line["text"], line["score"]) == ("", 0)
    assert line["corners"][0] == pytest.approx([10 / 400, 20 / 300], abs=1e-4)


def test_no_text(model):
    """A picture without text has no lines."""
    assert read(model(Library(None, None)), WHITE) == []


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 1920, 3), (1920, 5, 3), (30, 100, 3)])
def test_narrow_pictures_stand_on_a_ground(model, shape):
    """The detector enlarges the shorter side, so no picture may be small or narrow; the ground has its colour."""
    library = Library(None, None)
    read(model(library), np.full(shape, 77, np.uint8))
    height, width, _ = library.seen.shape
    assert min(height, width) >= 240
    assert max(height, width) <= 5 * min(height, width)
    assert (library.seen == 77).all()


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (0, 4, 3), (10, 2049, 3)])
def test_other_tensors_are_refused(model, shape):
    """The refusal names the input and its limits."""
    (response,) = model(Library(None, None)).execute([StubRequest(["lines"], images=np.zeros(shape, np.uint8))])
    assert "images must be RGB of 1 to 2048 pixels a side" in response.error.message


def test_a_failure_does_not_quote_the_picture(model):
    """Only the kind of the error leaves the model."""
    library = Library(BOX, crop(20, 80))
    library.recognize_txt = lambda _crops: 1 / 0
    (response,) = model(library).execute([StubRequest(["lines"], images=WHITE)])
    assert response.error.message == "the picture could not be read (ZeroDivisionError)"
