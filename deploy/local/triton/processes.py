"""Triton's model processes, as Linux shows them under /proc."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deploy.local.triton.launch import STUB

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


def model_processes(server_pid: int) -> dict[str, ModelProcess]:
    """The living model processes of a tritonserver, by instance."""
    found = {}
    for entry in os.listdir(_PROC):  # noqa: PTH208 - names only: thousands of them on a big machine
        if entry.isdecimal() and _parent(int(entry)) == server_pid:
            line = _command_line(int(entry)) or [""]
            if line[0].endswith(STUB) and len(line) >= _ARGUMENTS:
                process = ModelProcess(int(entry), instance=line[_INSTANCE], shared_memory=line[_SHARED_MEMORY])
                found[process.instance] = process
    return found


def _parent(pid: int) -> int:
    with suppress(OSError):
        # The second field, the name, may hold blanks and brackets; state and parent follow its last bracket.
        return int((_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[1])
    return 0


def _command_line(pid: int) -> list[str]:
    with suppress(OSError):
        return (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    return []
