"""How long a call would wait for a model, by what Triton says that it has done."""

from collections import Counter

import pytest

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.triton.waits import Served, Waits

MODEL = "m"


class Scene:
    """A clock, the calls under way, and one model whose replicas answer."""

    def __init__(self, instances=1):
        self.now = 100.0
        self.inflight = Counter()
        self.waits = Waits(self.inflight, clock=lambda: self.now)
        self.instances = instances
        self.done = {"a": Served()}
        self.look()

    def look(self):
        self.now += 1.0
        self.waits.observe(MODEL, self.done, self.instances)

    def serve(self, calls, seconds, replica="a", *, ours=None, batch=1):
        """So many calls are answered in so many busy seconds, and Triton is asked."""
        for _ in range(calls if ours is None else ours):
            self.waits.answered(MODEL)
        before = self.done.get(replica, Served())
        self.done = self.done | {
            replica: Served(before.calls + calls, before.executions + calls // batch, before.busy_seconds + seconds)
        }
        self.look()


def test_a_call_waits_for_those_before_it():
    """Ten calls under way at ten calls a second: an eleventh begins after a second."""
    scene = Scene()
    scene.serve(10, 1.0)
    scene.inflight[MODEL] = 10
    assert scene.waits.seconds(MODEL) == pytest.approx(1.0)


def test_instances_work_side_by_side():
    """With two instances each call waits half as long, and two wait for nobody."""
    scene = Scene(instances=2)
    scene.serve(10, 1.0)
    scene.inflight[MODEL] = 1
    assert scene.waits.seconds(MODEL) == 0
    scene.inflight[MODEL] = 11
    assert scene.waits.seconds(MODEL) == pytest.approx(0.5)


def test_what_batches_gain_counts():
    """Eight calls that took a tenth of a second together wait as such a batch does, not one after another."""
    scene = Scene()
    scene.serve(16, 0.2, batch=8)
    scene.inflight[MODEL] = 8
    assert scene.waits.seconds(MODEL) == pytest.approx(0.1)


def test_the_best_time_counts():
    """A slow minute of a machine that others use does not refuse whom a good one would serve."""
    scene = Scene()
    scene.serve(10, 1.0)
    scene.serve(10, 10.0)
    scene.inflight[MODEL] = 10
    assert scene.waits.seconds(MODEL) == pytest.approx(1.0)


def test_a_minute_later_the_best_time_is_forgotten():
    """What is older than a minute no longer counts."""
    scene = Scene()
    scene.serve(10, 1.0)
    scene.now += 60
    scene.serve(10, 10.0)
    scene.inflight[MODEL] = 10
    assert scene.waits.seconds(MODEL) == pytest.approx(10.0)
    scene.now += 61
    scene.look()
    assert scene.waits.seconds(MODEL) is None


def test_a_few_calls_tell_nothing():
    """The first calls of a model, often slow ones, predict no wait, and nobody is refused for them."""
    scene = Scene()
    scene.serve(7, 70.0)
    scene.inflight[MODEL] = 50
    assert scene.waits.seconds(MODEL) is None
    scene.waits.require_time(MODEL, Deadline.after(0.1))


def test_what_triton_did_before_we_looked_tells_nothing():
    """Statistics of days ago, first seen now, are no rate of today."""
    scene = Scene()
    scene.waits.observe("other", {"a": Served(1000, 1000, 10.0)}, 1)
    assert scene.waits.seconds("other") is None


def test_the_calls_of_others_queue_too():
    """Where a quarter of the answered calls were ours, four are taken to wait for each that we have under way."""
    scene = Scene()
    scene.serve(40, 4.0, ours=10)
    scene.inflight[MODEL] = 10
    assert scene.waits.seconds(MODEL) == pytest.approx(4.0)


def test_replicas_add_up():
    """Two replicas answer twice as many; one that has told nothing yet is taken to be like the other."""
    scene = Scene()
    scene.serve(10, 1.0)
    scene.serve(0, 0.0, "b")
    scene.inflight[MODEL] = 21
    assert scene.waits.seconds(MODEL) == pytest.approx(1.0)
    scene.serve(30, 1.0, "b")
    assert scene.waits.seconds(MODEL) == pytest.approx(20 / 40)


def test_a_replica_that_is_gone_takes_no_calls():
    """Once a replica says nothing more, the others are all there is."""
    scene = Scene()
    scene.serve(10, 1.0)
    scene.serve(10, 1.0, "b")
    del scene.done["b"]
    scene.look()
    scene.inflight[MODEL] = 10
    assert scene.waits.seconds(MODEL) == pytest.approx(1.0)


def test_a_triton_that_started_anew_begins_anew():
    """Counters that went back are those of a new process, which has told nothing yet."""
    scene = Scene()
    scene.serve(10, 1.0)
    scene.done["a"] = Served(2, 2, 0.1)
    scene.look()
    assert scene.waits.seconds(MODEL) is None


def test_a_call_that_would_be_late_is_refused():
    """The error names the model, the wait, and when to come back."""
    scene = Scene()
    scene.serve(10, 1.0)
    scene.inflight[MODEL] = 30
    with pytest.raises(errors.Exhausted) as caught:
        scene.waits.require_time(MODEL, Deadline.after(2))
    assert caught.value.reason == "WAIT_TOO_LONG"
    assert caught.value.metadata == {"model": MODEL, "wait_seconds": "3.000"}
    assert caught.value.retry_after_seconds == pytest.approx(3.0)


def test_a_call_with_time_enough_is_not_refused():
    """A deadline after the wait and the execution lets the call in."""
    scene = Scene()
    scene.serve(10, 1.0)
    scene.inflight[MODEL] = 30
    scene.waits.require_time(MODEL, Deadline.after(4))


def test_an_idle_model_is_always_tried():
    """When none of our calls is under way one goes in, however slow the model was: it may have become faster."""
    scene = Scene()
    scene.serve(10, 100.0)
    scene.waits.require_time(MODEL, Deadline.after(1))
    scene.inflight[MODEL] = 1
    with pytest.raises(errors.Exhausted):
        scene.waits.require_time(MODEL, Deadline.after(1))


def test_predictions_are_of_models_that_are_known():
    """What an autoscaler reads holds the models with a prediction, and no others."""
    scene = Scene()
    scene.waits.observe("new", {"a": Served()}, 1)
    scene.serve(10, 1.0)
    assert scene.waits.predictions() == {MODEL: 0.0}
