"""Replaces processes of a mesh that runs, one at a time, without losing a call.

A second instance, the twin, comes up beside the process and answers calls while the process itself stops and starts as
deploy/drain.py says. Then the twin stops, so that afterwards everything is where it was. A restart that is interrupted
leaves the twin to serve, and the next one goes on from there.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from deploy.drain import JOIN_SECONDS, stops
from deploy.gateway.drain import hand_over
from deploy.local.health import Probe
from deploy.local.ports import address
from deploy.local.proc import available_bytes, resident_bytes
from deploy.local.processes import TWIN, twins
from deploy.local.settings import LocalSettings
from deploy.local.supervision import State, Supervisor

_POLL_SECONDS = 0.1
_GIBIBYTE = 1024**3


class CannotRestart(Exception):
    """A process was not replaced; the message says why, and who serves."""


class Restart:
    """Of processes of one mesh."""

    def __init__(
        self, settings: LocalSettings, supervisor: Supervisor, probe: Probe, say: Callable[[str], None]
    ) -> None:
        """settings: those with which the mesh was started. say: told each step."""
        self._settings = settings
        self._supervisor = supervisor
        self._probe = probe
        self._say = say
        self._stops = stops(settings.times)

    def replace(self, name: str) -> None:
        """Replace one process. Raises CannotRestart, SupervisorGone."""
        twin = name + TWIN
        began = time.monotonic()
        if not self._state(twin).pid:
            self._require_memory(name)
        self._start(twin, instead=name)
        self._stop(name)
        self._start(name, instead=twin)
        self._stop(twin)
        self._say(f"{name} was replaced in {time.monotonic() - began:.1f} s")

    def _require_memory(self, name: str) -> None:
        needed, there = resident_bytes(self._state(name).pid), available_bytes()
        if needed > there:
            raise CannotRestart(
                f"{name} takes {needed / _GIBIBYTE:.1f} GiB, so much again is needed while it is replaced, and "
                f"{there / _GIBIBYTE:.1f} GiB are free"
            )

    def _start(self, name: str, instead: str) -> None:
        """Start a process and wait until all who call it can reach it."""
        began = time.monotonic()
        self._supervisor.start_process(name)
        while not self._reachable(name):
            state = self._state(name).state
            if state in ("BACKOFF", "EXITED", "FATAL") or time.monotonic() - began > self._settings.start_seconds:
                self._supervisor.stop_process(name)
                log = "\n  ".join(self._supervisor.log_end(name))
                raise CannotRestart(f"{name} did not come up, so that {instead} serves; the end of its log:\n  {log}")
            time.sleep(_POLL_SECONDS)
        self._say(f"{name} is ready after {time.monotonic() - began:.1f} s")
        time.sleep(JOIN_SECONDS)

    def _reachable(self, name: str) -> bool:
        if not self._probe.ask([name])[name].ready:
            return False
        if name.removesuffix(TWIN) != "gateway":
            return True
        # As good as the one that it stands in for: whom that reaches it reaches as well.
        other = name.removesuffix(TWIN) if name.endswith(TWIN) else name + TWIN
        return (self._probe.reached_by(name) or set()) >= (self._probe.reached_by(other) or set())

    def _stop(self, name: str) -> None:
        """Let a process finish what it has begun, and end it."""
        kind = name.removesuffix(TWIN)
        if kind == "gateway":
            ports = self._settings.ports if name == kind else self._settings.ports.twins()
            stop = self._stops[kind]
            hand_over(address(ports.gateway_admin), stop.drain, announce_seconds=stop.announce)
        self._supervisor.stop_process(name)
        # Being asked wakes the supervisor, which otherwise looks once a second whether a process has ended.
        while self._state(name).pid:
            time.sleep(_POLL_SECONDS)

    def _state(self, name: str) -> State:
        found = {state.name: state for state in self._supervisor.states()}
        return found.get(name, State(name, "STOPPED", 0, 0.0))


def replaceable(settings: LocalSettings) -> list[str]:
    """The processes that can be replaced, those first that others call: what is new is there before it is asked for."""
    found = {process.name.removesuffix(TWIN) for process in twins(settings)}
    return [name for name in reversed(stops(settings.times)) if name in found]


@contextmanager
def restarting(
    settings: LocalSettings, names: Sequence[str], say: Callable[[str], None]
) -> Iterator[Callable[[str], None]]:
    """Gives what replaces a process, while nobody else does. Raises CannotRestart when somebody does.

    names: those that are to be replaced.
    """
    known = replaceable(settings)
    if unknown := [name for name in names if name not in known]:
        raise CannotRestart(
            f"{', '.join(unknown)} cannot be replaced while calls are answered; these can: {', '.join(known)}"
        )
    with (settings.run / "restart.lock").open("w") as lock, Probe(settings) as probe:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotRestart("another `maas restart` is at work") from None
        yield Restart(settings, Supervisor(settings.run), probe, say).replace
