"""`maas models rollout`, `rollouts` and `versions`, against a mesh of fakes."""

from __future__ import annotations

import json
from collections.abc import Callable

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from maas.models.v1 import models_pb2 as pb
from maas.models.v1 import rollout_pb2
from services.cli.models import following
from tests.unit.cli.fakes import FakeMesh, Maas

STATES = {
    "running": rollout_pb2.ROLLOUT_STATE_RUNNING,
    "promoted": rollout_pb2.ROLLOUT_STATE_PROMOTED,
    "back": rollout_pb2.ROLLOUT_STATE_ROLLED_BACK,
}


def rollout(state: str, *events: str, settled: bool = True) -> rollout_pb2.Rollout:
    """A rollout of which so much has happened."""
    made = rollout_pb2.Rollout(
        model="m", version=2, previous_version=1, state=STATES[state], settled=settled, reason="so it is"
    )
    made.limits.min_calls = 50
    made.tried.answered = 7
    for number, text in enumerate(events):
        made.events.add(description=text).time.FromSeconds(number)
    made.replicas.add(replica="a:1", wanted_version=2, ready_versions=[2], reachable=True)
    made.replicas.add(replica="b:1", wanted_version=1, ready_versions=[1], reachable=True)
    made.replicas.add(replica="c:1", wanted_version=1)
    return made


@pytest.fixture
def going(mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the mesh answer with these rollouts, one after another; a Status fails the call."""
    monkeypatch.setattr(following, "_PERIOD_SECONDS", 0.0)

    def answer(*found: rollout_pb2.Rollout | Status) -> None:
        first, *rest = found
        assert isinstance(first, rollout_pb2.Rollout)
        mesh.replies["StartRollout"] = rollout_pb2.StartRolloutResponse(rollout=first)
        mesh.replies["RollBackRollout"] = rollout_pb2.RollBackRolloutResponse(rollout=first)
        left = iter(rest)

        def get(_request: Message, context: grpc.ServicerContext) -> Message:
            following_one = next(left)
            if isinstance(following_one, Status):
                context.abort(grpc.StatusCode.UNAVAILABLE, following_one.message)
            return rollout_pb2.GetRolloutResponse(rollout=following_one)

        mesh.replies["GetRollout"] = get

    return answer


def test_what_happens_is_shown_until_the_end(mesh: FakeMesh, maas: Maas, going: Callable[..., None]) -> None:
    """Each event once, in order; a promotion is a success."""
    going(rollout("running", "one"), rollout("running", "one", "two"), rollout("promoted", "one", "two", "three"))
    result = maas("models", "rollout", "m", "2", "--min-calls", "20", "--min-seconds", "1.5")
    assert (result.exit_code, result.stdout.splitlines()) == (0, ["one", "two", "three"])
    asked = mesh.requests[0]
    assert (asked.model, asked.version, asked.limits.min_calls) == ("m", 2, 20)
    assert asked.limits.min_time.ToMilliseconds() == 1500
    assert not asked.limits.HasField("max_time")
    assert not asked.limits.HasField("max_error_rate_increase")


def test_a_limit_of_none_is_not_the_default(mesh: FakeMesh, maas: Maas, going: Callable[..., None]) -> None:
    """No more errors than before, and no shortest time: both are said."""
    going(rollout("promoted"))
    maas("models", "rollout", "m", "2", "--max-error-rate-increase", "0", "--min-seconds", "0")
    assert mesh.requests[0].limits.HasField("max_error_rate_increase")
    assert mesh.requests[0].limits.HasField("min_time")


def test_a_version_that_went_back_is_a_failure(maas: Maas, going: Callable[..., None]) -> None:
    """Exit code 1, when every replica serves the old one again."""
    going(rollout("running"), rollout("back", "rolled back: slow", settled=False), rollout("back", "rolled back: slow"))
    result = maas("models", "rollout", "m", "2")
    assert (result.exit_code, result.stdout.splitlines()) == (1, ["rolled back: slow"])


def test_going_back_tells_only_of_that(mesh: FakeMesh, maas: Maas, going: Callable[..., None]) -> None:
    """Not of what happened before it; and to have gone back is what was asked for."""
    going(rollout("back", "one", "rolled back: asked for", settled=False), rollout("back", "one", "rolled back", "two"))
    result = maas("models", "rollout", "m", "--back")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == ["rolled back: asked for", "rolled back", "two"]
    assert mesh.requests[0].model == "m"


def test_a_service_that_restarts_is_waited_for(maas: Maas, going: Callable[..., None]) -> None:
    """It goes on meanwhile."""
    going(rollout("running"), Status(message="away"), Status(message="away"), rollout("promoted", "promoted: well"))
    result = maas("models", "rollout", "m", "2")
    assert (result.exit_code, result.stdout.splitlines()) == (0, ["promoted: well"])


def test_a_mesh_that_stays_away_is_a_failure(
    maas: Maas, going: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After two minutes the command gives up, and says why."""
    monkeypatch.setattr(following, "_PATIENCE_SECONDS", -1.0)
    going(rollout("running"), Status(message="away"))
    result = maas("models", "rollout", "m", "2")
    assert result.exit_code == 1
    assert "UNAVAILABLE: away" in result.stderr


def test_ctrl_c_leaves_it_going(mesh: FakeMesh, maas: Maas, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code is that of an interrupted program, and nothing is rolled back."""
    mesh.replies["StartRollout"] = rollout_pb2.StartRolloutResponse(rollout=rollout("running"))

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(following.time, "sleep", interrupt)
    result = maas("models", "rollout", "m", "2")
    assert result.exit_code == 130
    assert "the rollout goes on; the same command shows it again" in result.stderr
    assert len(mesh.requests) == 1


def test_json_is_the_end_and_nothing_else(maas: Maas, going: Callable[..., None]) -> None:
    """For programs."""
    going(rollout("running", "one"), rollout("promoted", "one"))
    result = maas("models", "rollout", "m", "2", "--json")
    assert json.loads(result.stdout)["state"] == "ROLLOUT_STATE_PROMOTED"


@pytest.mark.parametrize("arguments", [["m"], ["m", "2", "--back"], ["m", "0"]])
def test_wrong_usage(maas: Maas, arguments: list[str]) -> None:
    """A version or --back, and not both."""
    assert maas("models", "rollout", *arguments).exit_code == 2


def test_what_keeps_a_rollout_from_beginning_is_told(mesh: FakeMesh, maas: Maas) -> None:
    """As any error of the mesh."""
    mesh.replies["StartRollout"] = Status(code=9, message="version 2 of 'm' is the one that is served")
    result = maas("models", "rollout", "m", "2")
    assert result.exit_code == 1
    assert "FAILED_PRECONDITION: version 2 of 'm' is the one that is served" in result.stderr


def test_what_is_shown_of_a_running_one() -> None:
    """Calls, failures, times, and what each replica serves or should."""
    made = rollout("running")
    made.tried.mean_time.FromMilliseconds(12)
    made.compared.mean_time.FromMilliseconds(11)
    made.replicas[1].ready_versions[:] = [2]
    assert list(following._progress(made)) == [
        "7 of 50 calls",
        "0 failed",
        "12 ms each, before 11 ms",
        "a:1 serves 2",
        "b:1 loads 1, serves 2",
        "c:1 does not answer",
    ]


def test_rollouts_are_listed(mesh: FakeMesh, maas: Maas) -> None:
    """All pages; one that is not carried out everywhere says so."""
    pages = {
        "": rollout_pb2.ListRolloutsResponse(rollouts=[rollout("promoted")], next_page_token="x"),  # noqa: S106 - of a page
        "x": rollout_pb2.ListRolloutsResponse(rollouts=[rollout("back", settled=False)]),
    }
    mesh.replies["ListRollouts"] = lambda request, _: pages[request.page_token]
    _, first, second = maas("models", "rollouts").stdout.splitlines()
    assert first.split("  ")[-1] == "so it is"
    assert "promoted" in first
    assert "1 of 3 serve 2" in first
    assert "rolled back, not everywhere" in second


def test_versions_are_shown_by_replica(mesh: FakeMesh, maas: Maas) -> None:
    """What is not ready is told with its reason, and who does not answer."""
    model = pb.Model(name="m")
    one = model.replicas.add(replica="a:1")
    one.versions.add(version=1, state=pb.MODEL_VERSION_STATE_READY)
    one.versions.add(version=2, state=pb.MODEL_VERSION_STATE_UNAVAILABLE, reason="unloaded")
    model.replicas.add(replica="b:1")
    answer = pb.ListModelsResponse(models=[model], replicas=[pb.ServerReplica(name="a:1")])
    answer.replicas.add(name="c:1").status.MergeFrom(Status(code=14, message="c:1 does not answer"))
    mesh.replies["ListModels"] = answer
    mesh.replies["GetModel"] = pb.GetModelResponse(model=model)
    told = maas("models", "versions").stdout
    assert "1, 2 unavailable (unloaded)" in told
    assert "b:1" in told
    assert "c:1 does not answer" in told
    assert "c:1" not in maas("models", "versions", "m").stdout
