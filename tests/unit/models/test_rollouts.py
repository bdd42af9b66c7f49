"""Rollouts of all models: begun, changed by people and by other processes, and driven."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from services.mesh import errors
from services.mesh.background import background
from services.models.pipelines.loading import Loading
from services.models.pipelines.rollout import Limits, Stage
from services.models.pipelines.rollouts import Periods, Rollouts
from tests.unit.models.fakes import MODEL, FakeFleet, FakeReplica, Memory

LIMITS = Limits(min_calls=5, min_seconds=0)
FAST = Periods(read=0.02, running=0.005, settled=0.01, again=0.005)
VERSIONS = {1: (0.0, 0.01), 2: (0.0, 0.01)}


class Scene:
    def __init__(self):
        self.replicas = [FakeReplica(f"r{each}", VERSIONS) for each in range(2)]
        self.fleet = FakeFleet(self.replicas)
        self.kept = Memory()
        self.calls = True
        for replica in self.replicas:
            replica.tick()

    async def traffic(self):
        while True:
            await asyncio.sleep(0.004)
            for replica in self.replicas if self.calls else ():
                replica.tick()

    @asynccontextmanager
    async def process(self):
        """A process of the service."""
        rollouts = Rollouts(self.fleet, self.kept, periods=FAST)
        async with background(rollouts.watch()):
            await until(rollouts.known)
            yield rollouts


@pytest.fixture
async def scene():
    made = Scene()
    async with background(made.traffic()):
        yield made


def ended(rollouts):
    """Whether the rollout has ended on every replica."""
    view = rollouts.find(MODEL)
    return view and view.settled and view.rollout.stage is not Stage.RUNNING


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_rollout_is_driven_to_its_end(scene):
    """It is shown with what was seen of it, and settled when every replica serves the version."""
    async with scene.process() as rollouts:
        begun = await rollouts.start(MODEL, 2, LIMITS)
        assert (begun.rollout.stage, begun.settled) == (Stage.RUNNING, False)
        await until(lambda: ended(rollouts))
        view = rollouts.view(MODEL)
        assert view.rollout.stage is Stage.PROMOTED
        assert view.progress.replicas == {"r0": {2}, "r1": {2}}
        assert view.progress.tried.calls >= 5


async def test_the_next_process_goes_on(scene):
    """What the first one left in the middle the second one ends, and loads nothing twice."""
    scene.calls = False
    async with scene.process() as rollouts:
        await rollouts.start(MODEL, 2, LIMITS)
        await until(lambda: scene.replicas[0].serves == 2)
    scene.calls = True
    async with scene.process() as rollouts:
        await until(lambda: ended(rollouts))
        assert rollouts.view(MODEL).rollout.stage is Stage.PROMOTED
    assert [replica.loads for replica in scene.replicas] == [[2], [2]]


async def test_the_same_command_gives_the_rollout_that_runs_and_another_is_refused(scene):
    """Until it has ended."""
    scene.calls = False
    async with scene.process() as rollouts:
        begun = await rollouts.start(MODEL, 2, LIMITS)
        assert (await rollouts.start(MODEL, 2, Limits())).rollout.created == begun.rollout.created
        with pytest.raises(errors.FailedPrecondition, match="version 2 of 'm' is under way") as refused:
            await rollouts.start(MODEL, 3, LIMITS)
        assert refused.value.reason == "ROLLOUT_RUNNING"
        with pytest.raises(errors.FailedPrecondition, match="is under way"):
            await rollouts.delete(MODEL)


async def test_two_who_begin_the_same_at_once_get_the_same(scene):
    """One of them writes first; who wants another version is refused."""
    scene.calls = False
    async with scene.process() as first, scene.process() as second:
        found = await asyncio.gather(first.start(MODEL, 2, LIMITS), second.start(MODEL, 2, LIMITS))
        assert len({view.rollout.created for view in found}) == 1
        with pytest.raises(errors.FailedPrecondition):
            await second.start(MODEL, 3, LIMITS)


async def test_people_may_decide(scene):
    """Promotion and the way back, whether it runs or has ended; what was rolled back is not promoted."""
    scene.calls = False
    async with scene.process() as rollouts:
        await rollouts.start(MODEL, 2, LIMITS)
        assert (await rollouts.promote(MODEL)).rollout.stage is Stage.PROMOTED
        await until(lambda: ended(rollouts))
        assert [replica.serves for replica in scene.replicas] == [2, 2]
        await rollouts.back(MODEL)
        changed = rollouts.view(MODEL).rollout.updated
        await until(lambda: ended(rollouts))
        assert [replica.serves for replica in scene.replicas] == [1, 1]
        assert (await rollouts.back(MODEL)).rollout.updated >= changed
        with pytest.raises(errors.FailedPrecondition) as refused:
            await rollouts.promote(MODEL)
        assert refused.value.reason == "ROLLOUT_ENDED"
        await rollouts.delete(MODEL)
        with pytest.raises(errors.NotFound, match="there are: none"):
            rollouts.view(MODEL)
        assert not scene.kept.records


async def test_what_another_process_decides_is_done(scene):
    """It is read within the period; a rollout that was deleted elsewhere is forgotten."""
    scene.calls = False
    async with scene.process() as rollouts:
        await rollouts.start(MODEL, 2, LIMITS)
        await until(lambda: scene.replicas[0].serves == 2)
        record = scene.kept.records[MODEL]
        await scene.kept.replace(record, record.rollout.back("by hand", 0.0))
        await until(lambda: ended(rollouts))
        assert rollouts.view(MODEL).rollout.reason == "by hand"
        scene.kept.records.clear()
        await until(lambda: rollouts.find(MODEL) is None)


async def test_two_processes_at_once_do_no_harm(scene):
    """As for a moment when a node is lost: both drive, and the rollout ends as one."""
    async with scene.process() as first, scene.process() as second:
        await first.start(MODEL, 2, LIMITS)
        await until(lambda: ended(first) and ended(second))
        await until(lambda: first.view(MODEL).rollout == second.view(MODEL).rollout)
        assert first.view(MODEL).rollout.stage is Stage.PROMOTED
        texts = [event.text for event in first.view(MODEL).rollout.events]
        assert texts.count("r0 loads version 2") == 1


async def test_nothing_goes_on_that_is_not_written(scene):
    """While the place of rollouts is away no replica loads a further version; afterwards it goes on."""
    async with scene.process() as rollouts:
        scene.calls = False
        await rollouts.start(MODEL, 2, LIMITS)
        await until(lambda: scene.replicas[0].serves == 2)
        scene.kept.away = True
        scene.calls = True
        with pytest.raises(errors.Unavailable):
            await rollouts.back(MODEL)
        await until(lambda: rollouts.view(MODEL).progress.tried.calls > 50)
        assert [replica.serves for replica in scene.replicas] == [2, 1]
        scene.kept.away = False
        await until(lambda: ended(rollouts))
        assert scene.kept.records[MODEL].rollout.stage is Stage.PROMOTED


async def test_before_anything_was_read_nobody_is_told_anything(scene):
    """A service that does not know what is kept says so."""
    scene.kept.away = True
    rollouts = Rollouts(scene.fleet, scene.kept, periods=FAST)
    async with background(rollouts.watch()):
        await asyncio.sleep(0.05)
        assert not rollouts.known()
        for question in (lambda: rollouts.view(MODEL), rollouts.views, lambda: rollouts.find(MODEL)):
            with pytest.raises(errors.Unavailable) as refused:
                question()
            assert refused.value.reason == "STATE_UNREACHABLE"
        scene.kept.away = False
        await until(rollouts.known)


async def test_a_look_that_breaks_is_not_the_last(scene):
    """A mistake of ours costs a look, and not the rollout."""
    async with scene.process() as rollouts:
        broken = [True] * 3

        async def held():
            if broken:
                raise ValueError(broken.pop())
            return await FakeReplica.held(scene.replicas[0])

        await rollouts.start(MODEL, 2, LIMITS)
        scene.replicas[0].held = held
        await until(lambda: not broken and ended(rollouts))


async def test_what_is_loaded_by_hand_is_what_the_rollout_left(scene):
    """Loading and unloading during a rollout is refused; after it the version that it left is loaded."""
    async with scene.process() as rollouts:
        loading = Loading(scene.fleet, rollouts)
        scene.calls = False
        await rollouts.start(MODEL, 2, LIMITS)
        for change in (loading.load, loading.unload):
            with pytest.raises(errors.FailedPrecondition) as refused:
                await change(MODEL, [])
            assert refused.value.reason == "ROLLOUT_RUNNING"
        await rollouts.back(MODEL)
        await until(lambda: rollouts.view(MODEL).rollout.settled)
        unloaded = await loading.unload(MODEL, ["r1"])
        assert [each.state for each in unloaded.replicas["r1"]] == ["UNAVAILABLE"]
        await asyncio.sleep(0.1)
        assert scene.replicas[1].serves is None
        loaded = await loading.load(MODEL, [])
        assert loaded.stage is Stage.ROLLED_BACK
        assert [[each.version for each in held] for held in loaded.replicas.values()] == [[1], [1]]


async def test_models_are_listed_with_who_does_not_answer(scene):
    """A silent replica is named, and what the others hold is told."""
    async with scene.process() as rollouts:
        loading = Loading(scene.fleet, rollouts)
        scene.replicas[0].silent = True
        listing = await loading.list()
        assert [holding.model for holding in listing.models] == [MODEL, "other"]
        assert listing.replicas == {"r0": False, "r1": True}
        assert list(listing.models[0].replicas) == ["r1"]
        with pytest.raises(errors.NotFound, match="there are: m, other"):
            await loading.get("x")
        with pytest.raises(errors.NotFound, match="no replica is called 'r7'"):
            await loading.load(MODEL, ["r7"])
        scene.replicas[1].silent = True
        with pytest.raises(errors.Unavailable):
            await loading.list()
