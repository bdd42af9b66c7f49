"""The order and the times of stopping."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from deploy.drain import CALLS, CLOSE_SECONDS, KUBERNETES, LONGEST_CALL_SECONDS, Times, depth, local, stops
from deploy.local.processes import SERVICES, processes
from deploy.local.settings import LocalSettings
from services.mesh.settings import ServiceSettings

# What the cluster autoscaler waits for a pod at most before it removes its node.
AUTOSCALER_SECONDS = 600

TIMES = pytest.mark.parametrize("times", [KUBERNETES, local(20), local(0.2)], ids=["kubernetes", "local", "short"])


@TIMES
def test_callers_stop_before_what_they_call(times: Times) -> None:
    """Whoever calls has a smaller depth and a higher rank, and its address is withdrawn no later."""
    found = stops(times)
    for caller, called in CALLS.items():
        for name in called:
            assert found[caller].depth < found[name].depth
            assert found[caller].rank > found[name].rank > 0
            assert found[caller].pre_stop <= found[name].pre_stop


def test_the_order_is_that_of_the_picture() -> None:
    """From the client to Triton."""
    assert [sorted(name for name in CALLS if depth(name) == number) for number in range(5)] == [
        ["gateway"], ["models", "router"], ["nlp", "speech", "vision"], ["preprocessing"], ["triton"],
    ]  # fmt: skip
    assert [stop.depth for stop in stops(KUBERNETES).values()] == [0, 1, 1, 2, 2, 2, 3, 4]


@TIMES
def test_nothing_is_killed_while_it_drains(times: Times) -> None:
    """There is time left to close after the longest drain, before SIGKILL; the pre-stop comes on top."""
    for stop in stops(times).values():
        assert stop.grace - stop.pre_stop == stop.notice + stop.drain + CLOSE_SECONDS
        if stop.name == "gateway":
            # It has drained before SIGTERM.
            assert stop.stop == CLOSE_SECONDS
        else:
            assert stop.stop == stop.grace - stop.pre_stop


def test_on_kubernetes_no_unary_call_is_cut_off() -> None:
    """The drain is as long as the longest call of any service; a pod has gone before its node is removed."""
    assert max(limit for _, limit in SERVICES.values()) <= LONGEST_CALL_SECONDS == KUBERNETES.drain
    for stop in stops(KUBERNETES).values():
        assert stop.pre_stop >= KUBERNETES.forgotten > 0
        assert stop.grace < AUTOSCALER_SECONDS


def test_each_tier_outlasts_its_callers_by_a_step() -> None:
    """Told at once, a tier still serves for a step after those have begun to drain that call it."""
    tiers = sorted({(stop.depth, stop.pre_stop) for stop in stops(KUBERNETES).values()})
    assert [later - sooner for (_, sooner), (_, later) in pairwise(tiers)] == [KUBERNETES.step] * (len(tiers) - 1)


@pytest.mark.parametrize(("forgotten", "drain", "step"), [(-1, 20, 0), (0, 0, 0), (0, 20, -1)])
def test_impossible_times_are_refused(forgotten: int, drain: int, step: int) -> None:
    """No time is negative, and calls have some to finish."""
    with pytest.raises(ValueError, match="negative"):
        Times(forgotten, drain, step)


def test_an_unknown_process_has_no_order() -> None:
    """A workload that is missing in the table of calls is found at once."""
    with pytest.raises(KeyError, match=r"deploy/drain\.py"):
        depth("billing")


def test_the_local_processes_take_their_times_from_here(tmp_path: Path) -> None:
    """Ranks, times to stop and the settings of services and Triton are those derived."""
    settings = LocalSettings(build_directory=tmp_path, run_directory=tmp_path / "run", drain_seconds=7)
    table = {process.name: process for process in processes(settings)}
    for name, stop in stops(local(7)).items():
        if name not in table:
            continue
        assert table[name].rank == stop.rank
        assert table[name].stop_seconds >= stop.stop
        if name in SERVICES:
            assert stop.environment().items() <= table[name].environment.items()
    assert table["triton"].environment["TRITON_DRAIN_SECONDS"] == "7"
    assert table["gateway"].command[-4:-2] == ("--drain-time-s", "2")


def test_a_service_knows_the_settings() -> None:
    """What `environment` names are settings of every service."""
    names = {name.removeprefix("NLP_").lower() for name in stops(KUBERNETES)["nlp"].environment()}
    assert names <= ServiceSettings.model_fields.keys()
