"""Which live streams are refused."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from services.mesh import errors
from services.speech.pipelines.live.admission import Admission, Place


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Now."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """At 100 seconds."""
    return Clock()


def enter(stack: ExitStack, admission: Admission, count: int = 1) -> list[Place]:
    """So many streams."""
    return [stack.enter_context(admission.place()) for _ in range(count)]


def test_as_many_as_may(clock: Clock) -> None:
    """More than the configured number are refused, with a reason and when to come again; who leaves makes room."""
    admission = Admission(max_live_streams=2, recognizers=100, clock=clock)
    with ExitStack() as stack:
        enter(stack, admission)
        with admission.place(), pytest.raises(errors.Exhausted, match="2 live streams run already") as caught:
            enter(stack, admission)
        assert caught.value.reason == "TOO_MANY_LIVE_STREAMS"
        assert caught.value.retry_after_seconds
        enter(stack, admission)


def test_expected_load(clock: Clock) -> None:
    """Of streams that have just come the usual share is expected."""
    admission = Admission(max_live_streams=100, recognizers=2, clock=clock)
    with ExitStack() as stack:
        enter(stack, admission, 5)
        with pytest.raises(errors.Exhausted, match="cannot keep up with more than the 5"):
            enter(stack, admission)


def test_measured_load(clock: Clock) -> None:
    """Streams that take more leave room for fewer, those that take less for more."""
    for seconds, allowed in ((6.0, 2), (1.0, 7)):
        admission = Admission(max_live_streams=100, recognizers=1, clock=clock)
        with ExitStack() as stack:
            places = enter(stack, admission, 2)
            clock.now += 20
            for place in places:
                place.spend(seconds)
            if allowed > 2:
                places += enter(stack, admission, 1)
                clock.now += 10
                assert [place.share for place in places] == pytest.approx([0.1] * 3)
            else:
                with pytest.raises(errors.Exhausted, match="cannot keep up"):
                    enter(stack, admission)


def test_streams_that_are_behind(clock: Clock) -> None:
    """While one stream is behind, no other is taken."""
    admission = Admission(max_live_streams=100, recognizers=100, clock=clock)
    with admission.place() as place:
        place.lag = lambda: 3.5
        with pytest.raises(errors.Exhausted, match="behind already"), admission.place():
            pass
    with admission.place():
        pass


def test_the_only_one_is_taken(clock: Clock) -> None:
    """A machine too small for one live stream takes it all the same, alone."""
    admission = Admission(max_live_streams=4, recognizers=1, clock=clock)
    with ExitStack() as stack:
        [place] = enter(stack, admission)
        clock.now += 15
        place.spend(15.0)
        with pytest.raises(errors.Exhausted):
            enter(stack, admission)
