"""How another version of a model takes over: the steps, the judgement, and what is kept."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from services.cli.models.rollout import driver
from services.cli.models.rollout.driver import begin, drive
from services.cli.models.rollout.judge import fault
from services.cli.models.rollout.kept import Files
from services.cli.models.rollout.state import Limits, Rollout, Served, Stage
from services.cli.models.rollout.triton import Triton, TritonError

MODEL = "m"
LIMITS = Limits(min_calls=10, min_seconds=5, max_seconds=60)


class Replica:
    """A Triton that answers ten calls a second, as its version does. repository: the versions that lie there."""

    def __init__(self, name, versions, *, serves=1):
        self.name = name
        self.repository = versions
        self.serves = serves
        self.count = dict.fromkeys(versions, (0, 0, 0.0))
        self.loads = []
        self.calls = 10

    def tick(self):
        if self.serves is None:
            return
        answered, failed, seconds = self.count[self.serves]
        wrong, each = self.repository[self.serves]
        fails = round(self.calls * wrong)
        self.count[self.serves] = answered + self.calls - fails, failed + fails, seconds + (self.calls - fails) * each

    def ask(self, method, path, body, _seconds):
        request = json.loads(body) if body else None
        if path.endswith("/index"):
            return self._ok(
                [{"name": MODEL, "version": str(self.serves), "state": "READY"}] if self.serves else [{"name": MODEL}]
            )
        if path.endswith("/config"):
            return self._ok({"name": MODEL, "version_policy": {"latest": {"num_versions": 1}}})
        if path.endswith("/load"):
            chosen = max(self.repository)
            if config := request.get("parameters", {}).get("config"):
                [chosen] = json.loads(config)["version_policy"]["specific"]["versions"]
            self.loads.append(chosen)
            if self.repository[chosen] == "broken":
                return 400, json.dumps({"error": "failed to load 'm': no model.py"}).encode()
            if self.serves != chosen:
                self.count[chosen] = (0, 0, 0.0)
            self.serves = chosen
            return 200, b""
        version = int(path.split("/")[-2])
        if version != self.serves:
            return 400, b'{"error": "not ready"}'
        answered, failed, seconds = self.count[version]
        return self._ok(
            {
                "model_stats": [
                    {
                        "inference_stats": {
                            "success": {"count": answered, "ns": int(seconds * 1e9)},
                            "fail": {"count": failed, "ns": 0},
                        }
                    }
                ]
            }
        )

    @staticmethod
    def _ok(answer):
        return 200, json.dumps(answer).encode()


class Scene:
    """Replicas on a clock of their own, and what was told."""

    def __init__(self, monkeypatch, directory, count, versions, **options):
        self.replicas = [Replica(f"r{number}", dict(versions), **options) for number in range(count)]
        self.kept = Files(directory)
        self.told = []
        self.now = 0.0
        self.interrupt_at = None
        monkeypatch.setattr(driver, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep))
        for _ in range(20):
            self.tick()

    def tick(self):
        for replica in self.replicas:
            replica.tick()

    def sleep(self, seconds):
        self.now += seconds
        self.tick()
        if self.interrupt_at is not None and self.now >= self.interrupt_at:
            raise KeyboardInterrupt

    def fleet(self):
        return [Triton(replica.name, replica.ask) for replica in self.replicas]

    def roll(self, version=2, limits=LIMITS):
        return drive(begin(self.fleet, self.kept, MODEL, version, limits), self.fleet, self.kept, self.told.append)

    def serving(self):
        return [replica.serves for replica in self.replicas]


GOOD = {1: (0.0, 0.01), 2: (0.0, 0.011)}


@pytest.fixture
def scene(monkeypatch, tmp_path):
    """Make a scene of so many replicas and these versions: share of calls that fail, seconds of the others."""
    return lambda count, versions, **options: Scene(monkeypatch, tmp_path / "rollouts", count, versions, **options)


def test_a_version_that_does_well_takes_over_step_by_step(scene):
    """One replica, half of them, all: each step is told, and the end is kept."""
    made = scene(4, GOOD)
    ended = made.roll()
    assert ended.stage is Stage.PROMOTED
    assert made.serving() == [2, 2, 2, 2]
    loads = [line for line in made.told if "loads" in line]
    assert loads == [f"r{number} loads version 2" for number in range(4)]
    steps = [line for line in made.told if "went well" in line]
    assert [line.split(" on ")[1] for line in steps] == ["1 of 4 replicas", "2 of 4 replicas", "4 of 4 replicas"]
    assert made.kept.read(MODEL) == ended


@pytest.mark.parametrize(
    ("bad", "reason"),
    [((0.5, 0.01), "calls failed"), ((0.0, 0.05), "a call takes 50.0 ms in Triton"), ("broken", "no model.py")],
)
def test_a_version_that_does_worse_goes_back(scene, bad, reason):
    """Failures, slowness, and a version that cannot be loaded: the one replica that had it serves the old one again."""
    made = scene(3, {1: (0.0, 0.01), 2: bad})
    ended = made.roll()
    assert ended.stage is Stage.ROLLED_BACK
    assert reason in ended.reason
    assert made.serving() == [1, 1, 1]
    assert not any(2 in replica.loads for replica in made.replicas[1:])


def test_a_single_replica_is_compared_with_what_was_before(scene):
    """There is nothing beside it: the old version's own record is the measure."""
    made = scene(1, {1: (0.0, 0.01), 2: (0.0, 0.05)})
    assert made.roll().stage is Stage.ROLLED_BACK
    assert scene(1, GOOD).roll().stage is Stage.PROMOTED


def test_too_few_calls_are_no_proof(scene):
    """A version that nobody calls goes back when its time is over."""
    made = scene(2, GOOD)
    for replica in made.replicas:
        replica.calls = 0
    ended = made.roll()
    assert ended.reason.startswith("only 0 of 10 calls came")
    assert made.serving() == [1, 1]


def test_whoever_is_interrupted_goes_on(scene):
    """The same command continues at the step that was reached, and does not begin anew."""
    made = scene(4, GOOD)
    made.interrupt_at = 7.0
    with pytest.raises(KeyboardInterrupt):
        made.roll()
    assert made.kept.read(MODEL).step == 1
    made.interrupt_at = None
    assert made.roll().stage is Stage.PROMOTED
    assert all(replica.loads == [2] for replica in made.replicas)


def test_a_replica_that_restarts_with_the_newest_gets_the_old_one_again(scene):
    """During a rollout a Triton that starts anew loads what is newest; those whose turn it is not are put back."""
    made = scene(4, GOOD)
    made.interrupt_at = 2.0
    with pytest.raises(KeyboardInterrupt):
        made.roll()
    made.replicas[3].serves = 2
    made.interrupt_at = 4.0
    with pytest.raises(KeyboardInterrupt):
        made.roll()
    assert made.serving() == [2, 1, 1, 1]


def test_two_rollouts_of_a_model_do_not_mix(scene):
    """While one is under way, another version is refused."""
    made = scene(2, GOOD)
    made.interrupt_at = 1.0
    with pytest.raises(KeyboardInterrupt):
        made.roll()
    with pytest.raises(TritonError, match="version 2 is under way"):
        made.roll(version=3)


def test_only_the_newest_version_can_be_rolled_out(scene):
    """A Triton loads what is newest in its repository; asked for another, all go back and are told why."""
    made = scene(2, GOOD | {3: (0.0, 0.01)})
    ended = made.roll(version=2)
    assert ended.stage is Stage.ROLLED_BACK
    assert "r0 serves 3 of 'm' after it was to load 2" in ended.reason
    assert made.serving() == [1, 1]


@pytest.mark.parametrize(
    ("serves", "version", "text"),
    [
        ([1, 2], 2, "one and the same version"),
        ([None, None], 2, "they serve: none"),
        ([2, 2], 2, "is the one that is served"),
    ],
)
def test_what_keeps_a_rollout_from_beginning(scene, serves, version, text):
    """Replicas that differ, that serve nothing, or that serve it already."""
    made = scene(2, GOOD)
    for replica, each in zip(made.replicas, serves, strict=True):
        replica.serves = each
    with pytest.raises(TritonError, match=text):
        made.roll(version=version)


def test_a_triton_that_is_gone_is_named():
    """The error says which one does not answer."""

    def refuse(*_):
        raise ConnectionRefusedError

    with pytest.raises(TritonError, match="triton-1 does not answer"):
        Triton("triton-1", refuse).versions(MODEL)


def test_a_single_error_is_no_proof():
    """One failed call of five does not end a version that may fail as often as the old one."""
    assert not fault(LIMITS, Served(answered=4, failed=1), Served(answered=1000))
    assert fault(LIMITS, Served(answered=2, failed=3), Served(answered=1000))


def test_what_cannot_be_read_is_not_there(tmp_path):
    """A file that is no rollout does not stop a new one."""
    (tmp_path / "m.json").write_text("{")
    assert Files(tmp_path).read(MODEL) is None


@pytest.mark.parametrize(("replicas", "steps"), [(1, 1), (2, 2), (3, 3), (10, 3)])
def test_no_step_is_without_a_new_replica(replicas, steps):
    """Few replicas have fewer steps."""
    rollout = Rollout(model=MODEL, version=2, previous=1, configuration="{}", before=Served())
    sizes = []
    names = [str(number) for number in range(replicas)]
    while rollout.stage is Stage.RUNNING:
        sizes.append(len(rollout.chosen(names)))
        rollout = rollout.forward(replicas, "")
    assert len(sizes) == steps
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == replicas
