"""`python -m deploy.local.browser` installs Debian's Chromium for the tests, where there is none and it is root.

A browser needs some hundred libraries of the system, so that unpacking it without root is no way.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_TIMEOUT_SECONDS = 900


def find(which: Callable[[str], str | None] = shutil.which) -> str | None:
    """The browser's program, None when this machine has none."""
    return next(filter(None, map(which, _NAMES)), None)


def main() -> int:
    """Install it where that is possible; returns the exit code, 0 also when it is left out, as the tests will say."""
    if find():
        return 0
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        print("The test of the tracing UI is left out: it needs a Chromium, which `apt-get install chromium` brings.")
        return 0
    print("installing Debian's chromium for the test of the tracing UI", flush=True)
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        try:
            done = subprocess.run(
                ["apt-get", "--quiet", *arguments],
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            print(f"apt-get {arguments[0]} did not end within {_TIMEOUT_SECONDS} s; try again", file=sys.stderr)
            return 1
        if done.returncode:
            print(f"apt-get {arguments[0]} failed; try it by hand:\n{done.stderr.strip()[-500:]}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
