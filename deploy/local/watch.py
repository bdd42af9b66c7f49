"""Follows the processes of a mesh and says in one line what happened to them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from deploy.local.health import Health
from deploy.local.supervision import State

# A process that the supervisor gave up is started again after so long, for ever: the longest back-off.
RETRY_SECONDS = 30.0
# Shorter ones are not worth a line: the gateway notices a service half a second after the service itself.
_BLIP_SECONDS = 1.0
_UP = ("STARTING", "RUNNING")


class Observed(Protocol):
    """What can be seen of a mesh and done to it."""

    def states(self) -> Mapping[str, State]:
        """Every process as the supervisor sees it."""
        ...

    def health(self) -> Mapping[str, Health]:
        """What each process says of itself."""
        ...

    def last_ending(self, name: str) -> str:
        """How a process ended last."""
        ...

    def was_stopped(self, name: str) -> bool:
        """Whether a process ended last because that was asked for."""
        ...

    def start_process(self, name: str) -> None:
        """Start a process that was given up."""
        ...


@dataclass
class _Illness:
    """Why a process can't do its work.

    how: how it died, "" when it lives and only says that it is not ready. asked_for: it did not die but was stopped.
    """

    since: float
    how: str
    asked_for: bool = False
    gave_up_at: float | None = None


class Watch:
    """Call `look` again and again; it returns what has happened since, as sentences."""

    def __init__(self, mesh: Observed, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._mesh = mesh
        self._clock = clock
        self._pids: dict[str, int] = {}
        self._ill: dict[str, _Illness] = {}
        self._was_ready: set[str] = set()
        self.states: Mapping[str, State] = {}
        self.health: Mapping[str, Health] = {}

    @property
    def all_ready(self) -> bool:
        """Whether every process can do its work."""
        return bool(self.health) and all(
            health.ready and self.states[name].state in _UP for name, health in self.health.items()
        )

    def given_up(self) -> list[str]:
        """Processes that failed so often that the supervisor starts them no more."""
        return [name for name, state in self.states.items() if state.state == "FATAL"]

    def look(self) -> list[str]:
        """Ask the supervisor and every process. Raises SupervisorGone."""
        now = self._clock()
        self.states, self.health = self._mesh.states(), self._mesh.health()
        said: list[str] = []
        for name, state in self.states.items():
            self._note_death(name, state, now)
            said += self._revive(name, state, now)
        said += self._recoveries(now)
        return said

    def _note_death(self, name: str, state: State, now: float) -> None:
        known = self._pids.get(name, 0)
        if known and state.pid != known:
            how = self._mesh.last_ending(name)
            since = self._ill[name].since if name in self._ill else now
            self._ill[name] = _Illness(since, how, self._mesh.was_stopped(name))
            self._was_ready.discard(name)
        self._pids[name] = state.pid

    def _revive(self, name: str, state: State, now: float) -> list[str]:
        if state.state != "FATAL":
            return []
        illness = self._ill.setdefault(name, _Illness(now, self._mesh.last_ending(name)))
        if illness.gave_up_at is None:
            illness.gave_up_at = now
            return [f"{name} keeps dying ({illness.how}); the next attempt is in {RETRY_SECONDS:.0f} s"]
        if now - illness.gave_up_at >= RETRY_SECONDS:
            illness.gave_up_at = None
            self._mesh.start_process(name)
        return []

    def _recoveries(self, now: float) -> list[str]:
        said, awake = [], []
        for name, health in self.health.items():
            illness = self._ill.get(name)
            if not health.ready or self.states[name].state not in _UP:
                if name in self._was_ready and illness is None:
                    self._ill[name] = _Illness(now, "")
                continue
            self._was_ready.add(name)
            if illness is None:
                continue
            del self._ill[name]
            took = now - illness.since
            if illness.asked_for:
                said.append(f"{name} was replaced, ready after {took:.1f} s")
            elif illness.how:
                said.append(f"{name} died ({illness.how}), restarted, ready after {took:.1f} s")
            elif took >= _BLIP_SECONDS:
                awake.append((name, took))
        if awake:
            names, took = ", ".join(name for name, _ in awake), max(took for _, took in awake)
            said.append(f"{names}: ready again after {took:.1f} s")
        return said
