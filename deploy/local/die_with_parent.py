"""Becomes a command that gets SIGTERM from the kernel when its parent dies, however that dies.

`python -I -S die_with_parent.py COMMAND...`, with the expected parent's process id in MAAS_PARENT_PID. The
command finds its own id there, so that what it starts the same way is tied to it in turn: one's end is the end of all.
Standard library only, since it runs without site-packages; the tie survives exec.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PARENT = "MAAS_PARENT_PID"
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(command: list[str]) -> None:
    """command: the program and its arguments. Does not return."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        sys.exit(f"cannot tie {command[0]} to its parent: {os.strerror(ctypes.get_errno())}")
    # The parent may have died before the tie was made; then nobody would ever tell us.
    if os.getppid() != int(os.environ[PARENT]):
        sys.exit(f"not starting {command[0]}: the process that asked for it has gone")
    os.environ[PARENT] = str(os.getpid())
    os.execvp(command[0], command)  # noqa: S606 - becoming the command is the point


if __name__ == "__main__":
    main(sys.argv[1:])
