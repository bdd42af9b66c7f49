"""Seconds and protobuf durations."""

import pytest
from google.protobuf.duration_pb2 import Duration

from services.mesh import errors
from services.mesh.durations import seconds_within, to_duration, to_seconds


@pytest.mark.parametrize("seconds", [0, 0.1, 1.5, 59.999999, 3600, -0.25])
def test_there_and_back(seconds):
    """A number of whole microseconds comes back as it went."""
    assert to_seconds(to_duration(seconds)) == pytest.approx(seconds, abs=1e-12)


def test_whole_microseconds():
    """What a sum of floats is off by does not show."""
    assert to_duration(0.1 + 0.2) == Duration(nanos=300_000_000)


def choose(duration):
    return seconds_within("config.silence", duration, default=0.8, low=0.1, high=5)


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        (None, 0.8),
        (Duration(nanos=100_000_000), 0.1),
        (Duration(seconds=2, nanos=500_000_000), 2.5),
        (to_duration(5), 5),
    ],
    ids=["none", "least", "between", "most"],
)
def test_what_a_caller_chooses(duration, seconds):
    """A duration within the limits, which belong to it; without one the default."""
    assert choose(duration) == pytest.approx(seconds)


@pytest.mark.parametrize(("seconds", "got"), [(0, "0"), (0.05, "0.05"), (5.5, "5.5"), (-1, "-1")])
def test_what_a_caller_may_not_choose(seconds, got):
    """The error names the field, the limits and what came; nothing and zero differ."""
    with pytest.raises(errors.InvalidArgument) as caught:
        choose(to_duration(seconds))
    (violation,) = caught.value.violations
    assert violation.field == "config.silence"
    assert violation.description == f"takes 0.1 to 5 seconds, got {got}"
