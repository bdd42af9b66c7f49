"""Triton's model processes, as Linux shows them under /proc."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

STUB = "triton_python_backend_stub"

_PROC = Path("/proc")
# STUB model.py shared-memory-name size growth parent-pid backend-directory offset instance-name runtime
_SHARED_MEMORY, _INSTANCE, _ARGUMENTS = 2, 8, 9


@dataclass(frozen=True)
class ModelProcess:
    """A process that runs one instance of one model."""

    pid: int
    instance: str  # <model>_<instance group>_<number>
    shared_memory: str  # name of its file

    @property
    def model(self) -> str:
        """The model it runs: our configurations give instance groups no names, so Triton names them after the model."""
        return self.instance.rsplit("_", 2)[0]

    def alive(self) -> bool:
        """Whether it runs. Triton does not reap a killed one: what is left of it has no command line any more."""
        return _command_line(self.pid)[_SHARED_MEMORY : _SHARED_MEMORY + 1] == [self.shared_memory]

    def proportional_bytes(self) -> int:
        """Its memory, pages that it shares with others divided among them."""
        lines = (_PROC / str(self.pid) / "smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def model_processes(server_pid: int) -> dict[str, ModelProcess]:
    """The living model processes of a tritonserver, by instance."""
    return {process.instance: process for process in every_model_process() if _parent(process.pid) == server_pid}


def kill_orphans(shared_memory_prefix: str) -> None:
    """Kill the model processes of a Triton that is gone.

    They end by themselves when they miss it, unless it was killed while it held a lock that they wait for.
    """
    for process in every_model_process():
        if process.shared_memory.startswith(shared_memory_prefix):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


def every_model_process() -> Iterator[ModelProcess]:
    """The model processes of every Triton on this machine."""
    for entry in os.listdir(_PROC):  # noqa: PTH208 - names only: thousands of them on a big machine
        line = _command_line(int(entry)) if entry.isdecimal() else []
        if len(line) >= _ARGUMENTS and line[0].endswith(STUB):
            yield ModelProcess(int(entry), instance=line[_INSTANCE], shared_memory=line[_SHARED_MEMORY])


def _parent(pid: int) -> int:
    with suppress(OSError):
        # The second field, the name, may hold blanks and brackets; state and parent follow its last bracket.
        return int((_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[1])
    return 0


def _command_line(pid: int) -> list[str]:
    with suppress(OSError):
        return (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    return []
