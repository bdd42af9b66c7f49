"""One mesh a run directory: whoever holds the lock runs it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.proc import command_line, is_alive

# A mesh whose `maas up` was killed needs so long to stop by itself.
_LEFTOVER_SECONDS = 40.0


class AlreadyRunning(Exception):
    """Another mesh has this run directory."""


@dataclass(frozen=True)
class Holder:
    """Who runs the mesh.

    supervisor_pid: 0 until it has started.
    """

    pid: int
    port: int
    supervisor_pid: int = 0
    traces: bool = False


@dataclass
class Lock:
    """The lock, held."""

    file: int

    def write(self, holder: Holder) -> None:
        """Leave word for those who find the lock taken."""
        os.ftruncate(self.file, 0)
        os.pwrite(self.file, json.dumps(holder.__dict__).encode(), 0)


@contextmanager
def locked(run: Path, port: int) -> Iterator[Lock]:
    """Hold the run directory's lock. Raises AlreadyRunning."""
    run.mkdir(parents=True, exist_ok=True)
    file = os.open(run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = holder(run)
            who = f"on port {other.port} (pid {other.pid})" if other else "here"
            raise AlreadyRunning(f"a mesh already runs {who}; stop it or set MAAS_PORT") from None
        _wait_for_leftover(run)
        lock = Lock(file)
        lock.write(Holder(os.getpid(), port))
        yield lock
        os.ftruncate(file, 0)
    finally:
        os.close(file)


def holder(run: Path) -> Holder | None:
    """Who holds the lock, or held it last and did not end in order."""
    try:
        return Holder(**json.loads((run / "lock").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _wait_for_leftover(run: Path) -> None:
    """Wait for the supervisor of a mesh that was killed; it is stopping everything."""
    last = holder(run)
    until = time.monotonic() + _LEFTOVER_SECONDS
    while (
        last
        and last.supervisor_pid
        and is_alive(last.supervisor_pid)
        and "supervisord" in command_line(last.supervisor_pid)
    ):
        if time.monotonic() > until:
            raise AlreadyRunning(f"the supervisor of an earlier mesh still runs (pid {last.supervisor_pid}); stop it")
        time.sleep(0.1)
