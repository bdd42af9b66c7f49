"""What the code around LAC's network does: decoding, offsets, days and hours, places, money."""

from __future__ import annotations

import itertools
import json

import numpy as np
import onnx
import pytest

TAGS = ["O", "PER-B", "PER-I", "LOC-B", "LOC-I", "TIME-B", "TIME-I", "nw-B", "nw-I"]
# Each character has one tag that it likes; 萬 is 万 written in the traditional way.
LIKES = {"张": 1, "伟": 2, "京": 3, "沪": 3, "市": 4, "昨": 5, "天": 6, "点": 6, "三": 6, "后": 6, "饭": 5, "书": 7}
CHARACTERS = ["OOV", *LIKES]


@pytest.fixture
def lac(pb_utils, monkeypatch, tmp_path):
    """The model, on a network that gives each character the tag it likes."""
    from deploy.triton.models.lac import model  # noqa: PLC0415 - needs the stand-in

    scores = np.zeros((len(CHARACTERS), len(TAGS)), np.float32)
    scores[0, 0] = 6
    for index, tag in enumerate(LIKES.values(), 1):
        scores[index, tag] = 6
    value, integers = onnx.helper.make_tensor_value_info, onnx.TensorProto.INT64
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Gather", ["scores", "token_ids"], ["emissions"]),
            onnx.helper.make_node("Identity", ["length"], ["same_length"]),
        ],
        "lac",
        [value("token_ids", integers, ["n", "l"]), value("length", integers, ["n"])],
        [value("emissions", onnx.TensorProto.FLOAT, ["n", "l", len(TAGS)])],
        [onnx.numpy_helper.from_array(scores, "scores")],
    )
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, str(tmp_path / "lac_encoder.onnx"))
    np.save(tmp_path / "lac_crf_transitions.npy", np.random.default_rng(0).normal(size=(len(TAGS), len(TAGS))) / 4)
    words = [f"{index}\t{character}" for index, character in enumerate(CHARACTERS)]
    (tmp_path / "word.dic").write_text("\n".join(words), encoding="utf-8")
    (tmp_path / "q2b.dic").write_text("張\t张", encoding="utf-8")
    (tmp_path / "tag.dic").write_text("\n".join(f"{index}\t{tag}" for index, tag in enumerate(TAGS)), encoding="utf-8")
    loaded = model.TritonPythonModel()
    loaded.load(tmp_path, {})
    return loaded


def found(lac, text):
    """(mention, type) of each entity."""
    return [(text[each["begin"] : each["end"]], each["type"]) for each in json.loads(lac.answer([text])[0])]


def test_offsets_are_code_points(lac):
    """An emoji before a name counts as one, and the traditional form of a character is known."""
    assert found(lac, "😀张伟") == [("张伟", "PERSON")]
    assert found(lac, "張伟") == [("張伟", "PERSON")]


def test_day_and_hour_are_apart(lac):
    """LAC's one word for a time becomes a date and an hour."""
    assert found(lac, "昨天三点") == [("昨天", "DATE"), ("三点", "TIME")]


def test_after_dinner_is_no_date(lac):
    """A time without a day, month, year or hour in it is not given."""
    assert found(lac, "饭后") == []


def test_adjacent_places_are_one(lac):
    """A place that follows another without a gap is one with it; with a gap they are two."""
    assert found(lac, "京市沪市") == [("京市沪市", "LOCATION")]
    assert found(lac, "京市，沪市") == [("京市", "LOCATION"), ("沪市", "LOCATION")]


@pytest.mark.parametrize(
    "amount",
    ["¥300", "$1,250.50", "300元", "二十万元", "5.5亿美元", "两百多块钱", "50块", "HK$80", "100万人民币", "5萬元"],
)
def test_amounts_of_money(lac, amount):
    """Signs before and words after a number, Chinese numerals too; the comma after it is no part of it."""
    assert found(lac, f"他付了{amount}，走了") == [(amount, "MONEY")]


@pytest.mark.parametrize("text", ["三块蛋糕", "他有300本", "元旦"])
def test_numbers_that_are_no_money(lac, text):
    """Pieces, counts and names with such characters in them are no amounts."""
    assert "MONEY" not in [kind for _, kind in found(lac, text)]


@pytest.mark.parametrize("text", ["", "  \n"])
def test_nothing_in_an_empty_text(lac, text):
    """White space has no entities."""
    assert found(lac, text) == []


def test_probabilities_are_exact(lac):
    """The forward-backward algorithm gives what summing over all tag sequences gives."""
    text = "张市昨"
    ids = np.array([[CHARACTERS.index(character) for character in text]])
    (scores,) = lac._session.run(None, {"token_ids": ids, "length": np.array([3])})
    steps = np.log(lac._step)
    expected = np.zeros((3, len(TAGS)))
    for path in itertools.product(range(len(TAGS)), repeat=3):
        weight = np.exp(scores[0][range(3), path].sum() + steps[path[0], path[1]] + steps[path[1], path[2]])
        expected[range(3), path] += weight
    np.testing.assert_allclose(lac._tag_probabilities(text), expected / expected.sum(axis=1, keepdims=True), rtol=1e-5)
