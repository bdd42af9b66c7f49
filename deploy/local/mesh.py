"""A mesh on this machine, from start to stop."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from deploy.gateway.drain import drain
from deploy.gateway.render import render
from deploy.local import proc, scraping
from deploy.local.health import Health, Probe
from deploy.local.lock import Holder, Lock, locked
from deploy.local.ports import address
from deploy.local.processes import (
    SERVICES,
    TWIN,
    Process,
    envoy_configuration,
    gateway,
    processes,
    tracing_ui_program,
    twins,
)
from deploy.local.settings import LocalSettings
from deploy.local.supervision import State, Supervisor, SupervisorGone

_POLL_SECONDS = 0.1


class CannotStart(Exception):
    """The mesh can't start or did not become ready; the message says why and what to do."""


@dataclass
class Mesh:
    """A mesh that this process runs."""

    settings: LocalSettings
    processes: list[Process]
    supervisor: Supervisor
    probe: Probe
    _daemon: subprocess.Popen[bytes] | None = None
    _pids: set[int] = field(default_factory=set)
    # Those that ran when the supervisor was last asked.
    _twins: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The processes, in the order in which they start."""
        return [process.name for process in self.processes]

    def start(self, lock: Lock) -> None:
        """Start every process; returns when the supervisor answers. Raises CannotStart."""
        for own in (self.settings.ports, self.settings.ports.twins()):
            envoy_configuration(self.settings, own).write_text(render(gateway(self.settings, own)))
        scraping.configuration_file(self.settings).write_text(scraping.configuration(self.settings, SERVICES))
        self.supervisor.configure([*self.processes, *twins(self.settings)])
        self._daemon = self.supervisor.start()
        lock.write(Holder(os.getpid(), self.settings.port, self._daemon.pid, self.settings.traces))
        until = time.monotonic() + 15
        while time.monotonic() < until:
            with suppress(SupervisorGone):
                self.states()
                return
            if self._daemon.poll() is not None:
                break
            time.sleep(_POLL_SECONDS)
        end = (self.settings.logs / "supervisord.err").read_text(errors="replace").strip()
        raise CannotStart(f"supervisord did not start: {end or 'see ' + str(self.settings.logs)}")

    def states(self) -> dict[str, State]:
        """Every process as the supervisor sees it. Raises SupervisorGone."""
        found = {state.name: state for state in self.supervisor.states()}
        self._pids |= {state.pid for state in found.values() if state.pid}
        self._twins = [name for name in found if name.endswith(TWIN)]
        return {name: state for name, state in found.items() if name not in self._twins}

    def health(self) -> dict[str, Health]:
        """What each process says of itself."""
        found = self.probe.ask([*self.names, *self._twins])
        return {name: found[name] for name in self.names}

    def last_ending(self, name: str) -> str:
        """How a process ended last."""
        return self.supervisor.last_ending(name)

    def was_stopped(self, name: str) -> bool:
        """Whether a process ended last because that was asked for."""
        return self.supervisor.was_stopped(name)

    def start_process(self, name: str) -> None:
        """Start a process that was given up. Raises SupervisorGone."""
        self.supervisor.start_process(name)

    def misconfigured(self) -> list[str]:
        """Processes that found that they cannot run here, so that starting them again is no use."""
        return [name for name in self.names if self.last_ending(name) == f"exit status {os.EX_CONFIG}"]

    def stop(self) -> None:
        """Stop everything: the gateway takes no more calls and finishes those it has, then each rank in turn."""
        if self._daemon is None:
            return
        for ports in (self.settings.ports, self.settings.ports.twins()):
            drain(address(ports.gateway_admin), self.settings.times.drain)
        with suppress(SupervisorGone):
            self.supervisor.shut_down()
        longest = sum({process.rank: process.stop_seconds for process in self.processes}.values()) + 10
        until = time.monotonic() + longest
        while self._daemon.poll() is None and time.monotonic() < until:
            # Being asked wakes supervisord, which otherwise looks once a second whether a process has ended.
            with suppress(SupervisorGone):
                self.supervisor.states()
            time.sleep(_POLL_SECONDS)
        if self._daemon.poll() is None:
            self._daemon.kill()
            self._daemon.wait()
        # When supervisord itself was killed, the kernel told its children to stop.
        wait_until_gone(self._pids, seconds=self.settings.drain_seconds + 15)
        self._daemon = None


def wait_until_gone(pids: set[int], *, seconds: float) -> None:
    """Wait for processes that are not our own children."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and any(proc.is_alive(pid) for pid in pids):
        time.sleep(_POLL_SECONDS)


def check(settings: LocalSettings) -> None:
    """What must be there before anything starts. Raises CannotStart."""
    needed = {
        settings.build / "protos" / "maas.binpb": "make protos",
        settings.build / "tritonserver": "make models",
        settings.build / "models": "make models",
        settings.build / "assets": "make models",
    }
    if settings.traces:
        needed[tracing_ui_program(settings.build / "tracing-ui")] = "make tracing-ui"
    for path, command in needed.items():
        if not path.exists():
            raise CannotStart(f"{path} is missing; make it with: {command}")
    taken = proc.listeners()
    for name, port in settings.ports.items():
        if port in taken:
            pid = proc.owner(taken[port])
            by = f" by {proc.command_line(pid)[:60]!r} (pid {pid})" if pid else ""
            raise CannotStart(f"port {port} ({name.replace('_', ' ')}) is taken{by}; stop that or set MAAS_PORT")


@contextmanager
def prepared(settings: LocalSettings) -> Iterator[tuple[Mesh, Lock]]:
    """A mesh that may be started, and is stopped at the end. Raises AlreadyRunning, CannotStart."""
    with locked(settings.run, settings.port) as lock:
        check(settings)
        with Probe(settings) as probe:
            mesh = Mesh(settings, processes(settings), Supervisor(settings.run), probe)
            try:
                yield mesh, lock
            finally:
                mesh.stop()
