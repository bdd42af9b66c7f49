"""What /proc says about processes and ports."""

from __future__ import annotations

import os
from pathlib import Path

_LISTEN = "0A"


def resident_bytes(pid: int) -> int:
    """Memory of a process and all its descendants that is in RAM; 0 when it has gone."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            parent = _parent(int(entry.name))
            children.setdefault(parent, []).append(int(entry.name))
    total, waiting = 0, [pid]
    while waiting:
        each = waiting.pop()
        waiting += children.get(each, [])
        total += _resident(each)
    return total


def available_bytes() -> int:
    """Memory that processes can still take without swapping."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))


def _resident(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _parent(pid: int) -> int:
    try:
        # The name in parentheses may hold anything, spaces and parentheses too.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def command_line(pid: int) -> str:
    """How a process was started, "" when it has gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def listeners() -> dict[int, int]:
    """The TCP ports of this machine on which someone listens, each with its socket's inode."""
    found = {}
    for name in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        except OSError:  # A machine without IPv6.
            continue
        for fields in (line.split() for line in lines):
            if fields[3] == _LISTEN:
                found[int(fields[1].rpartition(":")[2], 16)] = int(fields[9])
    return found


def owner(inode: int) -> int | None:
    """The process that holds a socket, if we may see it."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(link.readlink()) == f"socket:[{inode}]" for link in (entry / "fd").iterdir()):
                return int(entry.name)
        except OSError:  # It has gone, or is another user's.
            continue
    return None
