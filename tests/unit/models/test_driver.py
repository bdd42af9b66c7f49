"""How another version of a model takes over: the steps, the judgement, and what goes wrong meanwhile."""

from __future__ import annotations

import pytest

from services.mesh import errors
from services.mesh.repository import UNLOADED, Served
from services.models.pipelines.beginning import begin
from services.models.pipelines.driver import Driver
from services.models.pipelines.judge import fault
from services.models.pipelines.rollout import Limits, Rollout, Stage
from tests.unit.models.fakes import MODEL, FakeFleet, FakeReplica, Memory

LIMITS = Limits(min_calls=10, min_seconds=5, max_seconds=60)
GOOD = {1: (0.0, 0.01), 2: (0.0, 0.011)}


class Scene:
    """Replicas on a clock of their own, and a driver that looks once a second."""

    def __init__(self, number, versions, **options):
        self.replicas = [FakeReplica(f"r{each}", versions, **options) for each in range(number)]
        self.fleet = FakeFleet(self.replicas)
        self.kept = Memory()
        self.now = 0.0
        for _ in range(20):
            self.tick()
        self.driver = None

    def tick(self):
        self.now += 1
        for replica in self.replicas:
            replica.tick()

    @property
    def rollout(self):
        return self.kept.records[MODEL].rollout

    async def begin(self, version=2, limits=LIMITS):
        await self.kept.create(await begin(self.fleet, MODEL, version, limits, self.now))
        self.restart()

    def restart(self):
        """Another process goes on."""
        self.driver = Driver(
            self.fleet, self.kept.replace, self.kept.records[MODEL], now=lambda: self.now, clock=lambda: self.now
        )

    async def look(self, times=1):
        for _ in range(times):
            await self.driver.look(self.kept.records[MODEL])
            self.tick()

    async def run(self, seconds=400):
        """Until it has ended and that is carried out."""
        for _ in range(seconds):
            await self.look()
            if self.rollout.settled:
                return self.rollout
        raise AssertionError(self.rollout)

    def serving(self):
        return [replica.serves for replica in self.replicas]

    def told(self):
        return [event.text for event in self.rollout.events]


async def test_a_version_that_does_well_takes_over_step_by_step():
    """One replica, half of them, all: each step is told."""
    scene = Scene(4, GOOD)
    await scene.begin()
    assert (await scene.run()).stage is Stage.PROMOTED
    assert scene.serving() == [2, 2, 2, 2]
    assert [each for each in scene.told() if "loads" in each] == [f"r{number} loads version 2" for number in range(4)]
    steps = [each for each in scene.told() if "went well" in each]
    assert [each.split(" on ")[1] for each in steps] == ["1 of 4 replicas", "2 of 4 replicas", "4 of 4 replicas"]
    assert steps[-1].startswith("promoted: ")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [((0.5, 0.01), "calls failed"), ((0.0, 0.05), "a call takes 50.0 ms in Triton"), ("broken", "no model.py")],
)
async def test_a_version_that_does_worse_goes_back(bad, reason):
    """Failures, slowness, and a version that cannot be loaded: the one replica that had it serves the old one again."""
    scene = Scene(3, {1: (0.0, 0.01), 2: bad})
    await scene.begin()
    ended = await scene.run()
    assert ended.stage is Stage.ROLLED_BACK
    assert reason in ended.reason
    assert scene.serving() == [1, 1, 1]
    assert not any(2 in replica.loads for replica in scene.replicas[1:])


@pytest.mark.parametrize(("versions", "stage"), [(GOOD, Stage.PROMOTED), ({1: (0, 0.01), 2: (0, 0.05)}, "rolled back")])
async def test_a_single_replica_is_compared_with_what_was_before(versions, stage):
    """There is nothing beside it: the old version's own record is the measure."""
    scene = Scene(1, versions)
    await scene.begin()
    assert (await scene.run()).stage == stage


async def test_too_few_calls_are_no_proof():
    """A version that nobody calls goes back when its time is over."""
    scene = Scene(2, GOOD)
    for replica in scene.replicas:
        replica.calls = 0
    await scene.begin()
    assert (await scene.run()).reason.startswith("only 0 of 10 calls came")
    assert scene.serving() == [1, 1]


async def test_another_process_goes_on():
    """It continues at the step that was reached, and loads nothing twice."""
    scene = Scene(4, GOOD)
    await scene.begin()
    await scene.look(8)
    assert scene.rollout.step == 1
    scene.restart()
    assert (await scene.run()).stage is Stage.PROMOTED
    assert all(replica.loads == [2] for replica in scene.replicas)


async def test_a_replica_that_restarts_with_the_newest_gets_the_old_one_again():
    """During a rollout a Triton that starts anew loads what is newest; one whose turn it is not is put back."""
    scene = Scene(4, GOOD)
    await scene.begin()
    await scene.look(2)
    scene.replicas[3].restart()
    await scene.look()
    assert scene.serving() == [2, 1, 1, 1]


async def test_a_replica_that_restarts_with_the_new_version_ends_the_rollout():
    """It may have been the new version that brought it down."""
    scene = Scene(2, GOOD)
    await scene.begin()
    await scene.look(3)
    scene.replicas[0].restart()
    assert (await scene.run()).reason == "r0 started anew while it served version 2"
    assert scene.serving() == [1, 1]


@pytest.mark.parametrize(("gone", "words"), [(True, "is gone"), (False, "does not answer any more")])
async def test_a_replica_that_is_lost_with_the_new_version_ends_the_rollout(gone, words):
    """After ten seconds; no other replica gets the version in its place."""
    scene = Scene(2, GOOD)
    await scene.begin(limits=LIMITS.model_copy(update={"min_seconds": 30}))
    await scene.look(3)
    if gone:
        scene.fleet.gone = {"r0"}
    else:
        scene.replicas[0].silent = True
    await scene.look(9)
    assert scene.rollout.stage is Stage.RUNNING
    await scene.look(4)
    assert scene.rollout.reason == f"r0, which was given version 2, {words}"
    assert scene.replicas[1].loads == []


async def test_a_silent_replica_without_the_new_version_holds_up_and_no_more():
    """The rollout waits for it."""
    scene = Scene(2, GOOD)
    await scene.begin()
    scene.replicas[1].silent = True
    await scene.look(20)
    assert (scene.rollout.stage, scene.rollout.step, scene.serving()) == (Stage.RUNNING, 0, [2, 1])
    scene.replicas[1].silent = False
    assert (await scene.run()).stage is Stage.PROMOTED


async def test_a_replica_that_stays_silent_ends_the_rollout_when_its_time_is_over():
    """It is named."""
    scene = Scene(2, GOOD)
    await scene.begin()
    scene.replicas[1].silent = True
    await scene.look(65)
    assert scene.rollout.reason.endswith("did not serve what it was to serve: r1")


async def test_only_the_newest_version_can_be_rolled_out():
    """A Triton loads what is newest in its repository; asked for another, all go back and are told why."""
    scene = Scene(2, GOOD | {3: (0.0, 0.01)})
    await scene.begin()
    ended = await scene.run()
    assert ended.stage is Stage.ROLLED_BACK
    assert "r0 serves 3 of 'm' after it was to load 2" in ended.reason
    assert scene.serving() == [1, 1]


@pytest.mark.parametrize(("version", "stage"), [(2, Stage.PROMOTED), (1, Stage.ROLLED_BACK)])
async def test_replicas_are_held_to_the_end_of_a_rollout(version, stage):
    """One that starts anew with a still newer version, or with the one that went back, is put right."""
    scene = Scene(2, GOOD if stage is Stage.PROMOTED else GOOD | {2: (0.9, 0.1)})
    await scene.begin()
    assert (await scene.run()).stage is stage
    for replica in scene.replicas:
        replica.repository[3] = (0.0, 0.01)
    scene.replicas[1].restart()
    await scene.look()
    assert scene.serving() == [version, version]


async def test_a_replica_that_starts_with_a_broken_newest_version_gets_the_one_that_is_kept():
    """It serves nothing by itself."""
    scene = Scene(2, {1: (0.0, 0.01), 2: "broken"})
    await scene.begin()
    await scene.run()
    scene.replicas[1].restart()
    assert scene.serving() == [1, None]
    await scene.look()
    assert scene.serving() == [1, 1]


@pytest.mark.parametrize("reason", [UNLOADED, ""])
async def test_what_somebody_unloaded_stays_so(reason):
    """After the end of a rollout nobody loads what was unloaded by hand, or never loaded."""
    scene = Scene(2, GOOD)
    await scene.begin()
    await scene.run()
    scene.replicas[0].serves, scene.replicas[0].reason = None, reason
    await scene.look(5)
    assert scene.serving() == [None, 2]


async def test_a_version_that_breaks_later_is_loaded_again():
    """Though the one before it, which lies beside it, was unloaded by the rollout itself."""
    scene = Scene(2, GOOD)
    await scene.begin()
    await scene.run()
    scene.replicas[0].serves, scene.replicas[0].reason = None, "the process of the model died"
    await scene.look()
    assert scene.serving() == [2, 2]


async def test_what_cannot_be_carried_out_is_tried_again_and_told_once():
    """The pauses grow, and the history does not fill with the same."""
    scene = Scene(1, {1: (0.0, 0.01), 2: (0.9, 0.01)})
    await scene.begin()
    await scene.look(2)
    assert scene.rollout.stage is Stage.ROLLED_BACK
    scene.replicas[0].repository[1] = "broken"
    await scene.look(100)
    assert not scene.rollout.settled
    assert 3 <= len(scene.replicas[0].loads) <= 8
    assert sum("no model.py" in each for each in scene.told()) == 1
    scene.replicas[0].repository[1] = (0.0, 0.01)
    await scene.run()
    assert scene.serving() == [1]


async def test_a_change_during_a_load_stops_the_next_one():
    """Somebody rolls back while a replica loads: no further one is given the new version."""
    scene = Scene(3, GOOD)
    await scene.begin()

    async def roll_back(_replica):
        for replica in scene.replicas:
            replica.before_load = None
        await scene.kept.replace(scene.kept.records[MODEL], scene.rollout.back("asked for", scene.now))

    scene.replicas[0].before_load = roll_back
    with pytest.raises(errors.Aborted):
        await scene.look()
    assert scene.serving() == [2, 1, 1]
    await scene.run()
    assert scene.serving() == [1, 1, 1]


@pytest.mark.parametrize(
    ("serves", "version", "text"),
    [
        ([1, 3], 2, "one and the same version"),
        ([None, None], 2, "they serve: none"),
        ([2, 2], 2, "is the one that is served"),
    ],
)
async def test_what_keeps_a_rollout_from_beginning(serves, version, text):
    """Replicas that differ, that serve nothing, or that serve it already."""
    scene = Scene(2, GOOD)
    for replica, each in zip(scene.replicas, serves, strict=True):
        replica.serves = each
    with pytest.raises(errors.FailedPrecondition, match=text):
        await scene.begin(version)


async def test_a_replica_that_serves_the_new_version_already_waits_for_its_turn():
    """It started after the version had come into the repository, and is put back first."""
    scene = Scene(3, GOOD)
    scene.replicas[2].restart()
    scene.tick()
    await scene.begin()
    assert scene.rollout.previous == 1
    await scene.look(2)
    assert scene.serving() == [2, 1, 1]
    assert (await scene.run()).stage is Stage.PROMOTED


async def test_nothing_begins_while_a_replica_is_silent_or_the_model_is_unknown():
    """The error says which replica, and which models there are."""
    scene = Scene(2, GOOD)
    with pytest.raises(errors.NotFound, match="there are: m, other"):
        await begin(scene.fleet, "x", 2, LIMITS, 0.0)
    scene.replicas[1].silent = True
    with pytest.raises(errors.Unavailable, match="r1 does not answer"):
        await scene.begin()
    with pytest.raises(errors.Unavailable, match="no replica"):
        await begin(FakeFleet([]), MODEL, 2, LIMITS, 0.0)


def test_a_single_error_is_no_proof():
    """One failed call of five does not end a version that may fail as often as the old one."""
    assert not fault(LIMITS, Served(4, 1), Served(1000))
    assert fault(LIMITS, Served(2, 3), Served(1000))


@pytest.mark.parametrize(("replicas", "steps"), [(1, 1), (2, 2), (3, 3), (10, 3)])
def test_no_step_is_without_a_new_replica(replicas, steps):
    """Few replicas have fewer steps."""
    rollout = Rollout(model=MODEL, version=2, previous=1, configuration="{}", before=Served())
    names = [str(number) for number in range(replicas)]
    sizes = []
    while rollout.stage is Stage.RUNNING:
        rollout = rollout.give(rollout.due(names, names), 0.0)
        sizes.append(len(rollout.placed))
        rollout = rollout.forward(replicas, "", 0.0)
    assert len(sizes) == steps
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == replicas


def test_the_history_is_bounded():
    """Of older events than the last fifty nothing is kept, and what is told again and again is told once."""
    rollout = Rollout(model=MODEL, version=2, previous=1, configuration="{}", before=Served())
    for number in range(60):
        rollout = rollout.told(f"event {number}", number).told(f"event {number}", number)
    assert [event.text for event in rollout.events] == [f"event {number}" for number in range(10, 60)]
