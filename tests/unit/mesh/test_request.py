"""Checks that requests share."""

import math
from types import SimpleNamespace

import pytest

from services.mesh import errors
from services.mesh.request import fraction, language_tag, limited, one_of, request_id


def violated(call) -> str:
    with pytest.raises(errors.InvalidArgument) as caught:
        call()
    return caught.value.violations[0].field


def test_a_request_id_is_a_uuid_or_nothing():
    """A UUID is echoed, nothing too; anything else violates the field."""
    for good in ("", "8f14e45f-ceea-467f-a0e6-2ad52f0e1b1c"):
        assert request_id(SimpleNamespace(request_id=good)) == good
    assert violated(lambda: request_id(SimpleNamespace(request_id="42"))) == "request_id"


def test_zero_means_the_default_and_the_limits_hold():
    """A whole number is taken within its limits, 0 stands for the default."""
    assert [limited("n", value, default=5, low=1, high=9) for value in (0, 1, 9)] == [5, 1, 9]
    for bad in (-1, 10):
        assert violated(lambda bad=bad: limited("n", bad, default=5, low=1, high=9)) == "n"


def test_a_fraction_is_between_0_and_1():
    """Numbers outside 0..1, NaN included, violate the field; 0 stands for the default."""
    assert [fraction("f", value, default=0.5) for value in (0, 0.2, 1)] == [0.5, 0.2, 1]
    for bad in (-0.1, 1.1, math.nan):
        assert violated(lambda bad=bad: fraction("f", bad, default=0.5)) == "f"


@pytest.mark.parametrize(
    "tag",
    ["english please", "e", "engl", "12", "en-", "en-waytoolongsubtag", "zh--CN", "日本", "en" + "-a" * 5, "en\n"],
)
def test_what_cannot_be_a_language_tag_is_refused(tag):
    """It violates the field, and so does none where one is needed."""
    assert violated(lambda: language_tag("code", tag)) == "code"
    assert violated(lambda: language_tag("code", "", required=True)) == "code"


@pytest.mark.parametrize("tag", ["", "en", "zh-Hans-CN", "pt_BR", "yue", "es-419"])
def test_language_tags_pass(tag):
    """With and without script and region, as they were given."""
    assert language_tag("code", tag) == tag


def test_an_enum_s_value_is_one_that_the_contract_knows():
    """Any other violates the field."""
    assert one_of("kind", 2, {1, 2}) == 2
    assert violated(lambda: one_of("kind", 3, {1, 2})) == "kind"
