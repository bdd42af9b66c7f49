"""Becomes a command that the kernel kills when the process which asked for it dies, however it dies.

`python -I -S tether.py PARENT_PID COMMAND...` runs in a fresh process, so nothing of ours runs between fork and exec of
a process with threads in it (gRPC's). The tie survives exec. Standard library only: it runs without site-packages.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: list[str]) -> None:
    """arguments: the parent's process id, then the command. Does not return."""
    parent, *command = arguments
    # SIGKILL, because a hung Triton hears nothing else.
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        sys.exit(f"cannot tie {command[0]} to its parent: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(parent):
        sys.exit(f"not starting {command[0]}: the process that asked for it has gone")
    os.execv(command[0], command)  # noqa: S606 - becoming the command is the point


if __name__ == "__main__":
    main(sys.argv[1:])
