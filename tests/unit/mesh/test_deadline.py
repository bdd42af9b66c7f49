"""Deadlines."""

import pytest

from services.mesh import errors
from services.mesh.deadline import Deadline


def test_time_remains_until_the_deadline():
    """The time that remains is at most what was given."""
    assert 0 < Deadline.after(10).require_seconds() <= 10


def test_no_work_begins_after_the_deadline():
    """A deadline that has passed has no time left and raises DeadlineExceeded when time is asked for."""
    late = Deadline.after(-1)
    assert late.remaining_seconds() == 0
    with pytest.raises(errors.DeadlineExceeded):
        late.require_seconds()
