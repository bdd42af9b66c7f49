"""Breaks files, and gives them to a child process that opens them with the service's limit of memory.

A failure is a child that dies, hangs or grows, and any error that is not one of ours.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import resource
import time
from collections import Counter
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from services.mesh.settings import MEBIBYTE

MEMORY_BYTES = 4096 * MEBIBYTE
PATIENCE_SECONDS = 20.0
GROWTH_BYTES = 512 * MEBIBYTE

Work = Callable[[Connection], None]


def broken(content: bytes, chance: random.Random) -> bytes:
    """The file with something wrong: bytes, numbers, pieces left out, repeated, moved, or cut off."""
    data = bytearray(content)
    # Most of what can be wrong stands in the headers.
    reach = chance.choice([64, 600, len(data)])
    for _ in range(chance.choice([1, 1, 2, 5, 20, 100])):
        if len(data) < 32:
            break
        at = chance.randrange(min(reach, len(data) - 8))
        size = chance.choice([1, 2, 4, 8, 100, 1000])
        match chance.randrange(8):
            case 0 | 1:
                data[at] = chance.randrange(256)
            case 2:
                data[at] ^= 1 << chance.randrange(8)
            case 3 | 4:
                number = chance.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0x10000, chance.getrandbits(32)])
                data[at : at + 4] = number.to_bytes(4, chance.choice(["big", "little"]))
            case 5:
                del data[at : at + size]
            case 6:
                data[at:at] = data[at : at + size] * chance.choice([1, 1, 1, 50])
            case _:
                other = chance.randrange(len(data))
                data[at : at + size] = data[other : other + size]
    if chance.random() < 0.15:
        del data[chance.randrange(len(data) + 1) :]
    return bytes(data)


def limit_memory() -> None:
    """What the service does with itself."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))


def memory_bytes() -> int:
    """What this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


class Child:
    """A process that decodes."""

    def __init__(self, work: Work) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(target=work, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self.first_bytes = 0
        self.last_bytes = 0

    def decode(self, content: bytes) -> str:
        """What came of a file; "died" or "hung" when the child did."""
        self._pipe.send_bytes(content)
        try:
            if not self._pipe.poll(PATIENCE_SECONDS * 2):
                return "FAILED: hung"
            outcome, self.last_bytes = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            return f"FAILED: died ({self._process.exitcode})"
        self.first_bytes = self.first_bytes or self.last_bytes
        if self.last_bytes - self.first_bytes > GROWTH_BYTES:
            return "FAILED: grew"
        return str(outcome)

    def end(self) -> None:
        self._process.kill()
        self._process.join()


def fuzz(what: str, work: Work, files: Sequence[bytes], description: str | None) -> None:
    """Fuzz for as long as the command line says, and say what came out; files that made something fail are kept.

    work: what the child does: decodes what it is sent, and answers with an outcome and `memory_bytes()`.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path(".build/fuzz"), help="where to put files that failed")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    child = Child(work)
    until = time.monotonic() + options.minutes * 60
    peak = 0
    while time.monotonic() < until:
        content = broken(chance.choice(files), chance)
        began = time.monotonic()
        outcome = child.decode(content)
        slowest = max(slowest, time.monotonic() - began)
        peak = max(peak, child.last_bytes)
        outcomes[outcome] += 1
        if outcome.startswith("FAILED"):
            options.keep.mkdir(parents=True, exist_ok=True)
            (options.keep / f"{what}-{options.seed}-{outcomes.total()}").write_bytes(content)
            child.end()
            child = Child(work)
    child.end()
    for outcome, count in outcomes.most_common():
        print(f"{count:7} {outcome}")  # noqa: T201 - the result
    print(f"{outcomes.total():7} files; the slowest took {slowest:.1f} s; {peak / MEBIBYTE:.0f} MiB at most")  # noqa: T201
    raise SystemExit(any(outcome.startswith("FAILED") for outcome in outcomes))
