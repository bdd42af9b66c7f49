"""The choice of a variant and the judgement of a canary."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.router.pipelines.traffic.judge import judge
from services.router.pipelines.traffic.policy import Canary, Policy, Share, State, choose
from services.router.pipelines.traffic.tally import Tally

KEYS = [f"user-{number}" for number in range(4000)]
CANARY = Canary("new", (0.1, 0.5, 1.0), 20, 60, 0.02, 1.5, "", 0.05, State.RUNNING, 0)
LONG = 61


def shares(old, new):
    return Policy("graphs/greet", (Share("old", old), Share("new", new)))


def with_canary(**how):
    return Policy("graphs/greet", (Share("old", 1),), canary=replace(CANARY, **how))


def tally(calls, errors=0, seconds=0.1, score=None):
    found = Tally()
    for number in range(calls):
        if number < errors:
            found.failed()
            continue
        found.succeeded(seconds)
        if score is not None:
            found.score.add(score)
    return found


def test_keys_move_only_to_the_variant_that_gains():
    """A tenth more weight moves about a tenth of the keys, all in one direction."""
    moves = [(choose(shares(9, 1), key), choose(shares(8, 2), key)) for key in KEYS]
    moved = [move for move in moves if move[0] != move[1]]
    assert set(moved) == {("old", "new")}
    assert len(moved) / len(KEYS) == pytest.approx(0.1, abs=0.02)


def test_keyless_calls_follow_the_draw():
    """The shares follow one another along the range of the draw."""
    assert [choose(shares(3, 1), "", lambda place=place: place) for place in (0.0, 0.74, 0.76, 0.999)] == [
        "old",
        "old",
        "new",
        "new",
    ]


def test_a_variant_without_weight_gets_nothing():
    """Weight 0 means no calls."""
    assert {choose(shares(1, 0), key) for key in KEYS} == {"old"}


def test_keys_of_a_canary_stay_with_it():
    """A larger step only adds keys."""
    first, second = ({key for key in KEYS if choose(with_canary(step=step), key) == "new"} for step in (0, 1))
    assert first < second
    assert len(first) / len(KEYS) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(("state", "variant"), [(State.PROMOTED, "new"), (State.ROLLED_BACK, "old")])
def test_a_canary_that_ended(state, variant):
    """All goes to one that was promoted, nothing to one that was rolled back."""
    assert {choose(with_canary(state=state), key) for key in KEYS} == {variant}


@pytest.mark.parametrize(("calls", "seconds"), [(19, LONG), (20, 59)])
def test_a_step_takes_calls_and_time(calls, seconds):
    """Neither alone is enough."""
    assert judge(CANARY, seconds, tally(calls), tally(100)) is None


def test_a_good_canary_goes_on_and_takes_over():
    """Step by step, then all."""
    steps = [judge(replace(CANARY, step=step), LONG, tally(20), tally(100)) for step in range(3)]
    assert [(each.state, each.step) for each in steps] == [
        (State.RUNNING, 1),
        (State.RUNNING, 2),
        (State.PROMOTED, 2),
    ]


def test_calls_of_wrong_inputs_do_not_fill_a_step():
    """Nor do they hide errors."""
    tried = tally(19)
    for _ in range(100):
        tried.refuse()
    assert (tried.calls, judge(CANARY, LONG, tried, tally(100))) == (119, None)
    tried = tally(5, 3)
    for _ in range(100):
        tried.refuse()
    assert judge(CANARY, 0, tried, tally(100)).state is State.ROLLED_BACK


def test_one_error_of_five_proves_nothing():
    """Nor does it end a canary before its step has enough calls."""
    assert judge(CANARY, 0, tally(5, 1), tally(100)) is None


def test_errors_end_it_before_its_step_is_over():
    """Three of five are enough, at once."""
    verdict = judge(CANARY, 0, tally(5, 3), tally(100))
    assert (verdict.state, verdict.reason) == (State.ROLLED_BACK, "3 of 5 calls failed, where 2.0% are allowed")


def test_errors_that_the_others_have_as_well_are_allowed():
    """A canary is not to blame for a fault of all."""
    assert judge(CANARY, LONG, tally(40, 20), tally(100, 50)).state is State.RUNNING


@pytest.mark.parametrize(
    ("tried", "reason"),
    [
        ({"seconds": 0.2, "score": 1.0}, "its p95 is 0.200 s, that of the others 0.100 s"),
        ({"score": 0.9}, "its mean score is 0.900, that of the others 1.000"),
    ],
)
def test_slower_or_worse_is_rolled_back(tried, reason):
    """With the figures as the reason."""
    verdict = judge(CANARY, LONG, tally(20, **tried), tally(100, score=1.0))
    assert (verdict.state, verdict.reason) == (State.ROLLED_BACK, reason)
