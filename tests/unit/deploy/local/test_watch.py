"""What `maas up` says when something happens to a process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from deploy.local.health import Health
from deploy.local.supervision import State
from deploy.local.watch import RETRY_SECONDS, Watch


@dataclass
class FakeMesh:
    """Two processes, as a test puts them."""

    now: float = 0.0
    nlp: State = field(default_factory=lambda: State("nlp", "RUNNING", 7, 0))
    triton: State = field(default_factory=lambda: State("triton", "RUNNING", 8, 0))
    ready: dict[str, bool] = field(default_factory=lambda: {"nlp": True, "triton": True})
    started: list[str] = field(default_factory=list)
    stopped: set[str] = field(default_factory=set)

    def states(self) -> Mapping[str, State]:
        """As put."""
        return {"nlp": self.nlp, "triton": self.triton}

    def health(self) -> Mapping[str, Health]:
        """As put."""
        return {name: Health(ready, "serving" if ready else "unreachable") for name, ready in self.ready.items()}

    def last_ending(self, name: str) -> str:
        """Always the same."""
        return "terminated by SIGKILL"

    def was_stopped(self, name: str) -> bool:
        """As put."""
        return name in self.stopped

    def start_process(self, name: str) -> None:
        """Note it."""
        self.started.append(name)

    def watch(self) -> Watch:
        """A watch with this mesh's clock, which has seen it well."""
        watch = Watch(self, clock=lambda: self.now)
        assert watch.look() == []
        assert watch.all_ready
        return watch


def test_a_death_is_told_in_one_line_when_it_is_over() -> None:
    """Who, how, and how long until it was ready again."""
    mesh = FakeMesh()
    watch = mesh.watch()
    mesh.now, mesh.nlp, mesh.ready["nlp"] = 1.0, State("nlp", "BACKOFF", 0, 0), False
    assert watch.look() == []
    assert not watch.all_ready
    mesh.now, mesh.nlp = 2.0, State("nlp", "STARTING", 9, 0)
    assert watch.look() == []
    mesh.now, mesh.ready["nlp"] = 3.1, True
    assert watch.look() == ["nlp died (terminated by SIGKILL), restarted, ready after 2.1 s"]
    assert watch.look() == []


def test_a_death_between_two_looks_is_not_missed() -> None:
    """A process that is back already has another process id."""
    mesh = FakeMesh()
    watch = mesh.watch()
    mesh.nlp = State("nlp", "STARTING", 9, 0)
    assert watch.look() == ["nlp died (terminated by SIGKILL), restarted, ready after 0.0 s"]


def test_a_process_that_was_replaced_did_not_die() -> None:
    """Somebody asked for it, and that is what is said."""
    mesh = FakeMesh(stopped={"nlp"})
    watch = mesh.watch()
    mesh.now, mesh.nlp = 1.0, State("nlp", "STOPPED", 0, 0)
    assert watch.look() == []
    mesh.now, mesh.nlp = 3.5, State("nlp", "STARTING", 9, 0)
    assert watch.look() == ["nlp was replaced, ready after 2.5 s"]


def test_a_process_that_was_not_ready_for_a_while() -> None:
    """Those that did not die are told of together."""
    mesh = FakeMesh()
    watch = mesh.watch()
    mesh.now, mesh.ready = 1.0, {"nlp": False, "triton": False}
    assert watch.look() == []
    mesh.now, mesh.ready = 5.0, {"nlp": True, "triton": True}
    assert watch.look() == ["nlp, triton: ready again after 4.0 s"]


def test_a_blip_is_not_told() -> None:
    """A process that lives and was away for less than a second is no news."""
    mesh = FakeMesh()
    watch = mesh.watch()
    mesh.now, mesh.ready["nlp"] = 1.0, False
    assert watch.look() == []
    mesh.now, mesh.ready["nlp"] = 1.5, True
    assert watch.look() == []
    assert watch.all_ready


def test_a_process_that_keeps_dying_is_started_again_now_and_then() -> None:
    """It is told once an attempt; the longest back-off is RETRY_SECONDS."""
    mesh = FakeMesh()
    watch = mesh.watch()
    mesh.nlp, mesh.ready["nlp"] = State("nlp", "FATAL", 0, 0), False
    (line,) = watch.look()
    assert line.startswith("nlp keeps dying (terminated by SIGKILL)")
    assert watch.given_up() == ["nlp"]
    mesh.now = RETRY_SECONDS - 1
    assert watch.look() == []
    assert mesh.started == []
    mesh.now = RETRY_SECONDS
    assert watch.look() == []
    assert mesh.started == ["nlp"]


def test_the_start_itself_is_nothing_to_tell() -> None:
    """A process that was never ready has not fallen ill."""
    mesh = FakeMesh(ready={"nlp": False, "triton": False})
    watch = Watch(mesh, clock=lambda: mesh.now)
    assert watch.look() == []
    mesh.ready = {"nlp": True, "triton": True}
    assert watch.look() == []
