"""Whether something new fails more often than it may."""

import pytest

from services.mesh.judgement import FEWEST, failing, likelihood


def test_likelihood_is_that_of_a_binomial():
    """Against a sum done by hand: two or more heads of three."""
    assert likelihood(2, 3, 0.5) == pytest.approx(0.5)
    assert likelihood(1, 5, 0.02) == pytest.approx(1 - 0.98**5)
    assert likelihood(1, 5, 0.0) == 0.0
    assert likelihood(0, 5, 0.0) == 1.0


@pytest.mark.parametrize(
    ("errors", "calls", "allowed", "wrong"),
    [
        (FEWEST - 1, FEWEST - 1, 0.02, False),
        (1, FEWEST, 0.02, False),
        (3, FEWEST, 0.02, True),
        (20, 1000, 0.02, False),
        (40, 1000, 0.02, True),
        (1, FEWEST, 0.0, True),
    ],
)
def test_only_what_is_sure_is_wrong(errors, calls, allowed, wrong):
    """Fewer than five calls, and a rate that may be chance, are no proof; where none may fail, one is."""
    said = failing(errors, calls, allowed)
    assert bool(said) is wrong
    assert not said or said.startswith(f"{errors} of {calls} calls failed, where {allowed:.1%} are allowed")
