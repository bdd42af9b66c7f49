"""The clock of a call: what happens side by side is told once, so that stages never add up to more than the total."""

import pytest

from services.client.server_timing import parse
from services.mesh import timing
from services.mesh.timing import Stage, stage


@pytest.fixture
def seconds(monkeypatch):
    """A time that the test moves on."""

    class Now:
        value = 0.0

        def pass_(self, more):
            self.value += more

    now = Now()
    monkeypatch.setattr(timing.time, "perf_counter_ns", lambda: round(now.value * 1e9))
    return now


def test_stages_one_after_the_other(seconds):
    """Each has its time, and what is none is told of nobody."""
    with timing.clock(asked=True) as clock:
        seconds.pass_(1)
        with stage(Stage.PREPROCESS):
            seconds.pass_(2)
        with stage(Stage.ENCODE):
            seconds.pass_(3)
        seconds.pass_(1)
    assert clock.stages() == {"preprocess": 2, "encode": 3}
    assert clock.total_seconds() == 7


def test_stages_side_by_side(seconds):
    """Waiting for a model counts as that, whatever else is waited for meanwhile; one in itself counts once."""
    with timing.clock(asked=True) as clock:
        with stage(Stage.RECEIVE):
            seconds.pass_(1)
            with stage(Stage.MODEL), stage(Stage.MODEL):
                seconds.pass_(2)
            with stage(Stage.PREPROCESS):
                seconds.pass_(4)
        with stage(Stage.LISTEN):
            seconds.pass_(8)
    assert clock.stages() == {"receive": 1, "model": 2, "preprocess": 12}


def test_a_model_s_own_times(seconds):
    """Its time is split into queue, compute and the way as models told of their calls, also when these ran together."""
    with timing.clock(asked=True) as clock, stage(Stage.MODEL):
        seconds.pass_(4)
        for _ in range(2):
            clock.executed(1_000_000_000, 2_000_000_000, 4_000_000_000)
    assert clock.stages() == {"queue": 1, "compute": 2, "transfer": 1}


def test_queues_of_models_and_of_services(seconds):
    """Time in either is told as one."""
    with timing.clock(asked=True) as clock:
        with stage(Stage.QUEUE):
            seconds.pass_(3)
        with stage(Stage.MODEL):
            seconds.pass_(2)
            clock.executed(1_000_000_000, 1_000_000_000, 2_000_000_000)
    assert clock.stages() == {"queue": 4, "compute": 1}


def test_nodes_of_a_graph(seconds):
    """Each has its runs, when it began first, and the stages of the services that it called; nobody else's."""
    with timing.clock(asked=True) as clock:
        seconds.pass_(1)
        for _ in range(2):
            with timing.node("hear"):
                assert timing.asking() == (("maas-timing", "1"),)
                seconds.pass_(2)
                timing.told([("server-timing", "total;dur=9, compute;dur=1500, node.x;dur=1, made-up;dur=1")])
        assert timing.asking() == ()
        timing.told([("server-timing", "compute;dur=7")])
    told = {each.name: each for each in parse(clock.server_timing())}
    assert told["node.hear"].milliseconds == 4000
    assert told["node.hear"].parameters == {"start": "1000.0", "runs": "2"}
    assert told["node.hear.compute"].milliseconds == 3000
    assert set(told) == {"total", "node.hear", "node.hear.compute"}


def test_nobody_asked(seconds):
    """Stages are measured for the metric all the same; nodes are not, and services are not asked."""
    with timing.clock(asked=False) as clock, timing.node("hear"), stage(Stage.CALL):
        seconds.pass_(1)
        assert timing.asking() == timing.answer() == ()
    assert clock.parts == {}
    assert clock.stages() == {"call": 1}


def test_outside_of_a_call():
    """There is no clock, and a stage is nothing."""
    with stage(Stage.MODEL), timing.node("hear"):
        assert timing.current() is None
        assert timing.answer() == ()


def test_many_nodes_are_bounded(seconds):
    """What is told stays below what gRPC takes as metadata."""
    with timing.clock(asked=True) as clock:
        for number in range(500):
            with timing.node(f"a-node-with-a-long-name-{number}"):
                seconds.pass_(1)
    assert len(clock.server_timing()) < 8000
