"""Processes are replaced one at a time, and somebody serves at every moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy.local import restart as module
from deploy.local.health import Health
from deploy.local.processes import TWIN
from deploy.local.restart import CannotRestart, Restart, replaceable, restarting
from deploy.local.settings import LocalSettings
from deploy.local.supervision import State


@dataclass
class FakeMesh:
    """A supervisor and a probe of processes that are ready as soon as they run.

    broken: processes that end at once. done: what was asked for, in order.
    """

    pids: dict[str, int] = field(default_factory=lambda: {"nlp": 1, "gateway": 2})
    broken: set[str] = field(default_factory=set)
    done: list[str] = field(default_factory=list)

    def states(self) -> list[State]:
        """Of those that run, and of those that failed."""
        failed = [State(name, "BACKOFF", 0, 0.0) for name in self.broken]
        return [State(name, "RUNNING", pid, 0.0) for name, pid in self.pids.items()] + failed

    def start_process(self, name: str) -> None:
        """Note it."""
        self.done.append(f"start {name}")
        if name not in self.broken:
            self.pids.setdefault(name, len(self.done) + 100)

    def stop_process(self, name: str) -> None:
        """Note it."""
        self.done.append(f"stop {name}")
        self.pids.pop(name, None)

    def log_end(self, name: str) -> list[str]:
        """What it said."""
        return [f"{name} cannot listen"]

    def ask(self, names: list[str]) -> dict[str, Health]:
        """Whoever runs is ready."""
        return {name: Health(name in self.pids, "") for name in names}

    def reached_by(self, gateway: str) -> set[tuple[str, int]] | None:
        """The same for every gateway that runs."""
        return {("nlp", 1)} if gateway in self.pids else None


@pytest.fixture
def mesh(monkeypatch: pytest.MonkeyPatch) -> FakeMesh:
    """One with enough memory, in which nothing is waited for."""
    mesh = FakeMesh()
    monkeypatch.setattr(module, "JOIN_SECONDS", 0)
    monkeypatch.setattr(module, "resident_bytes", lambda pid: 1024**3 if pid else 0)
    monkeypatch.setattr(module, "available_bytes", lambda: 2 * 1024**3)
    monkeypatch.setattr(
        module, "hand_over", lambda admin, *_, **__: mesh.done.append(f"hand over {admin.rpartition(':')[2]}")
    )
    return mesh


@pytest.fixture
def settings(tmp_path: Path) -> LocalSettings:
    """Of a mesh that is nowhere."""
    (tmp_path / "run").mkdir()
    return LocalSettings(port=19_000, build_directory=tmp_path, run_directory=tmp_path / "run")


@pytest.fixture
def replace(mesh: FakeMesh, settings: LocalSettings) -> Callable[[str], None]:
    """Replaces a process of it."""
    return Restart(settings, mesh, mesh, lambda _: None).replace


def test_the_twin_serves_meanwhile(mesh: FakeMesh, replace: Callable[[str], None]) -> None:
    """It is up before the process stops, and stops when that is up again, as another process."""
    replace("nlp")
    assert mesh.done == [f"start nlp{TWIN}", "stop nlp", "start nlp", f"stop nlp{TWIN}"]
    assert mesh.pids["nlp"] != 1
    assert f"nlp{TWIN}" not in mesh.pids


def test_a_gateway_hands_its_callers_over(mesh: FakeMesh, replace: Callable[[str], None]) -> None:
    """Before either stops it tells its callers to go to the other one."""
    replace("gateway")
    assert mesh.done == [
        f"start gateway{TWIN}", "hand over 19001", "stop gateway", "start gateway", "hand over 19021",
        f"stop gateway{TWIN}",
    ]  # fmt: skip


def test_a_twin_that_fails_changes_nothing(mesh: FakeMesh, replace: Callable[[str], None]) -> None:
    """The process goes on, and the end of the twin's log is told."""
    mesh.broken = {f"nlp{TWIN}"}
    with pytest.raises(CannotRestart, match=r"nlp serves.*\n  nlp-twin cannot listen"):
        replace("nlp")
    assert mesh.pids["nlp"] == 1


def test_a_process_that_fails_leaves_the_work_to_its_twin(mesh: FakeMesh, replace: Callable[[str], None]) -> None:
    """And the next restart goes on from there, without a second twin."""
    mesh.broken = {"nlp"}
    with pytest.raises(CannotRestart, match=r"nlp-twin serves"):
        replace("nlp")
    assert f"nlp{TWIN}" in mesh.pids
    mesh.broken = set()
    replace("nlp")
    assert f"nlp{TWIN}" not in mesh.pids
    assert mesh.pids["nlp"] > 1


def test_without_memory_nothing_is_begun(
    mesh: FakeMesh, replace: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence says how much is missing."""
    monkeypatch.setattr(module, "available_bytes", lambda: 1024**3 // 2)
    with pytest.raises(CannotRestart, match=r"nlp takes 1\.0 GiB.*0\.5 GiB are free"):
        replace("nlp")
    assert mesh.done == []


def test_what_is_called_is_replaced_first(settings: LocalSettings) -> None:
    """Triton first, the gateway last; the tracing UI takes no calls."""
    names = replaceable(settings)
    assert names[0] == "triton"
    assert names[-1] == "gateway"
    assert "tracing-ui" not in names


def test_one_at_a_time(settings: LocalSettings) -> None:
    """A second `maas restart` is told that another is at work."""
    with (
        restarting(settings, ["nlp"], lambda _: None),
        pytest.raises(CannotRestart, match="at work"),
        restarting(settings, ["nlp"], lambda _: None),
    ):
        pass


def test_who_takes_no_calls_needs_no_twin(settings: LocalSettings) -> None:
    """Unknown names and those of other processes are told with those that can be replaced."""
    with (
        pytest.raises(CannotRestart, match=r"tracing-ui.*these can: triton"),
        restarting(settings, ["tracing-ui"], lambda _: None),
    ):
        pass
