"""The waits between attempts."""

from __future__ import annotations

from deploy.local.triton.backoff import Backoff


class Clock:
    """Seconds that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        """The time now."""
        return self.now


def test_doubles_up_to_a_bound():
    """Each failure doubles the wait, up to the longest, however many there are."""
    backoff = Backoff(first_seconds=1, longest_seconds=5, window_seconds=10, clock=Clock())
    waits = [backoff.wait_seconds]
    for _ in range(2000):
        backoff.failed()
        waits.append(backoff.wait_seconds)
    assert waits[:6] == [0, 1, 2, 4, 5, 5]
    assert waits[-1] == 5


def test_forgets():
    """Failures as old as the window no longer count."""
    clock = Clock()
    backoff = Backoff(first_seconds=1, longest_seconds=60, window_seconds=10, clock=clock)
    counts = []
    for clock.now in (0, 1, 9, 10, 30):
        counts.append(backoff.failed())
    assert counts == [1, 2, 3, 3, 1]
    assert backoff.wait_seconds == 1
