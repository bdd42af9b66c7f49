"""RecognizeText, and the order in which lines are read."""

import math

import grpc
import numpy as np
import pytest

from maas.vision.v1 import image_pb2
from services.mesh.ports import Region
from services.mesh.testing import FakePreprocessor
from services.vision.pipelines.reading_order import reading_order, turned_upright
from tests.failure import failure
from tests.unit.vision.pictures import IMAGE, REQUEST_ID, line, lines, pictures


async def read(*given, preprocessor=None, **fields):
    """The answer to what the model says."""
    async with pictures(lambda *_: lines(*given), preprocessor=preprocessor) as (stub, inference):
        answer = await stub.RecognizeText(image_pb2.RecognizeTextRequest(image=IMAGE, **fields))
    assert inference.calls[0][1]["images"].shape == (96, 128, 3)
    return answer


async def test_lines_come_in_reading_order():
    """From top to bottom and side by side from left to right; `text` joins them."""
    found = await read(
        line("right", (0.6, 0.51, 0.9, 0.6)),
        line("left", (0.1, 0.5, 0.5, 0.6)),
        line("top", (0.1, 0.1, 0.9, 0.2)),
        request_id=REQUEST_ID,
    )
    assert found.text == "top\nleft\nright"
    assert [each.text for each in found.lines] == ["top", "left", "right"]
    assert (found.image_width, found.image_height, found.model, found.request_id) == (640, 480, "reader", REQUEST_ID)


async def test_weak_lines_are_left_out():
    """Below 0.8 unless the request says something else."""
    weak = line("weak", (0.1, 0.1, 0.9, 0.2), score=0.79)
    assert (await read(weak)).text == ""
    assert (await read(weak, min_score=0.5)).text == "weak"


async def test_places_are_fractions_of_the_original():
    """Corners are mapped back through the rendering; the box around them stays on the picture."""
    found = await read(line("x", (0.5, 0.25, 1.1, 0.5)), preprocessor=FakePreprocessor(region=Region(0, 0, 1, 2)))
    (only,) = found.lines
    np.testing.assert_allclose([(p.x, p.y) for p in only.corners], [(0.5, 0.5), (1.1, 0.5), (1.1, 1), (0.5, 1)])
    box = only.bounding_box
    assert (box.x_min, box.y_min, box.x_max, box.y_max) == (0.5, 0.5, 1, 1)


@pytest.mark.parametrize("angle", [0, 30, 90, 180, -90, -135])
async def test_the_orientation_of_a_line(angle):
    """By how many degrees it is turned clockwise, in the picture's pixels: it is wider than high."""
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    corners = [(-100, -10), (100, -10), (100, 10), (-100, 10)]
    turned = [[0.5 + (x * cosine - y * sine) / 640, 0.5 + (x * sine + y * cosine) / 480] for x, y in corners]
    found = await read({"text": "x", "score": 1, "corners": turned})
    assert math.cos(math.radians(found.lines[0].orientation_degrees - angle)) == pytest.approx(1)


@pytest.mark.parametrize("tilt", [0.0, -0.0, 1e-9, -1e-9])
async def test_upside_down_has_one_sign(tilt):
    """A line upside down is turned by 180 degrees, never by -180."""
    corners = [[0.9, 0.5 + tilt], [0.1, 0.5], [0.1, 0.4], [0.9, 0.4 + tilt]]
    found = await read({"text": "x", "score": 1, "corners": corners})
    assert found.lines[0].orientation_degrees == 180


async def test_a_line_is_one_line():
    """Line breaks inside a line become spaces, and one without a character is none."""
    found = await read(line("a\nb\u2028 c", (0.1, 0.1, 0.9, 0.2)), line(" \n", (0.1, 0.5, 0.9, 0.6)))
    assert found.text == "a b c"


async def test_what_cannot_be_read_is_left_out():
    """A place where the model reads nothing is no line, whatever its score."""
    unread = (0.1, 0.5, 0.9, 0.6)
    found = await read(line("a", (0.1, 0.1, 0.9, 0.2)), line("", unread, score=0), line("", unread, score=1))
    assert [each.text for each in found.lines] == ["a"]


@pytest.mark.parametrize(
    "given",
    [
        [{"text": "secret", "score": 1}],
        [line("secret", (0.1, 0.1, 0.9, float("inf")))],
        [line("secret", (0.1, 0.1, 0.9, 0.2), score=1.5)],
        [line("secret", (0.1, 0.1, 0.9, 0.2)) | {"corners": [[0, 0]] * 3}],
        ["secret"],
        [line("secret", (0.1, 0.1, 0.9, 0.2))] * 2001,
    ],
)
async def test_a_model_that_answers_nonsense_is_at_fault(given):
    """INTERNAL, without a word of what stands on the picture."""
    async with pictures(lambda *_: lines(*given)) as (stub, _):
        call = stub.RecognizeText(image_pb2.RecognizeTextRequest(image=IMAGE))
        code, info, _, _ = await failure(call)
        details = await call.details()
    assert (code, info.reason) == (grpc.StatusCode.INTERNAL, "MODEL_FAILED")
    assert "secret" not in details


async def test_bad_requests_name_the_field():
    """INVALID_ARGUMENT names min_score."""
    async with pictures() as (stub, _):
        code, _, bad, _ = await failure(stub.RecognizeText(image_pb2.RecognizeTextRequest(image=IMAGE, min_score=1.1)))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, "min_score")


def rows(left, width, count, *, top=0, height=20):
    """Lines below each other: x_min, y_min, x_max, y_max."""
    return [[left, top + 30 * index, left + width, top + 30 * index + height] for index in range(count)]


def test_columns_are_read_one_after_the_other():
    """A heading, two columns, a line across, two columns."""
    heading, upper = [[100, 0, 900, 40]], [*rows(0, 450, 4, top=60), *rows(500, 450, 4, top=65)]
    across, lower = [[0, 200, 950, 220]], [*rows(0, 440, 3, top=240), *rows(500, 450, 2, top=240)]
    page = np.array(heading + upper + across + lower, float)
    shuffled = np.random.default_rng(7).permutation(len(page))
    assert shuffled[reading_order(page[shuffled])].tolist() == list(range(len(page)))


def test_three_columns_are_read_one_after_the_other():
    """Columns are cut into columns again."""
    page = np.array([*rows(0, 300, 5), *rows(330, 300, 5, top=7), *rows(660, 300, 5)], float)
    shuffled = np.random.default_rng(7).permutation(len(page))
    assert shuffled[reading_order(page[shuffled])].tolist() == list(range(len(page)))


def test_a_list_of_prices_is_read_row_by_row():
    """What stands at the right is too short for a column of its own."""
    items, prices = rows(0, 300, 5), rows(600, 60, 5, top=3)
    page = np.array(items + prices, float)
    assert reading_order(page) == [0, 5, 1, 6, 2, 7, 3, 8, 4, 9]


def test_one_above_the_other_is_no_column():
    """Two paragraphs, the lower one to the left, are read downwards."""
    page = np.array([*rows(0, 400, 3, top=200), *rows(500, 400, 3)], float)
    assert reading_order(page) == [3, 4, 5, 0, 1, 2]


@pytest.mark.parametrize("angle", [3, 90, 180, -90])
def test_a_turned_page_is_read_as_an_upright_one(angle):
    """Whether it was scanned askew, sideways or upside down; a single line across it makes no difference."""
    boxes = np.array([*rows(0, 450, 4), *rows(500, 450, 4)], float)
    corners = np.stack([boxes[:, [0, 1]], boxes[:, [2, 1]], boxes[:, [2, 3]], boxes[:, [0, 3]]], axis=1)
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turned = corners @ np.array([[cosine, sine], [-sine, cosine]])
    aside = [[[1000, 0], [1000, 100], [980, 100], [980, 0]]] @ np.array([[cosine, sine], [-sine, cosine]])
    order = reading_order(turned_upright(np.concatenate([turned, aside])))
    assert [index for index in order if index < len(boxes)] == list(range(len(boxes)))


def test_more_columns_than_any_page_has():
    """A hostile page of 666 columns of three lines each, the most that a model may answer, is put in order too."""
    page = np.array([row for column in range(666) for row in rows(200 * column, 190, 3)], float)
    assert reading_order(page) == list(range(len(page)))


def test_points_are_no_trouble():
    """Lines without width or height, all in one place."""
    assert sorted(reading_order(turned_upright(np.zeros((4, 4, 2))))) == [0, 1, 2, 3]
