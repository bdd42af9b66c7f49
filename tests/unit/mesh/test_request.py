"""Checks that requests share."""

import math
from types import SimpleNamespace

import pytest

from services.mesh import errors
from services.mesh.request import fraction, limited, media, request_id


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


def test_media_without_bytes_is_refused():
    """A picture that was not set violates image.content."""
    assert violated(lambda: media("image", SimpleNamespace(content=b""))) == "image.content"
