"""`python -m deploy.local.tracing_ui` installs the tracing UI that tracing-ui/package-lock.json pins into .build.

It is kept in the cache by the lock file's checksum, so that a second clone downloads nothing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.local.processes import node, tracing_ui_program
from deploy.local.settings import LocalSettings
from deploy.models.fetch import FetchError, atomic_directory, cache_directory

_SOURCE = Path(__file__).parent / "tracing-ui"
_FILES = ("package.json", "package-lock.json")
# Its column of names shows "maas.router.v1.Route..."; the whole name of a method takes more. Once each in its page.
_PAGE = Path("dist", "fullpage.global.js")
_WIDER = (
    (r".w-\\[200px\\]{width:200px}", r".w-\\[200px\\]{width:540px}"),
    ("left: 200px; right: 80px", "left: 540px; right: 80px"),
)


def install(build: Path, cache: Path) -> Path:
    """Make sure that the UI is in the cache and that the build directory links to it. Raises FetchError."""
    files = b"".join((_SOURCE / name).read_bytes() for name in _FILES)
    checksum = hashlib.sha256(files + repr(_WIDER).encode()).hexdigest()
    installed = cache / "tracing-ui" / checksum[:16]
    if not tracing_ui_program(installed).is_file():
        print("fetching the tracing UI", flush=True)
        with atomic_directory(installed) as draft:
            _npm_ci(draft)
            _widen(tracing_ui_program(draft).parents[1] / _PAGE)
    link = build / "tracing-ui"
    build.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(installed)
    return link


def _npm_ci(directory: Path) -> None:
    """Install exactly what the lock file names, running nobody's scripts."""
    for name in _FILES:
        shutil.copy(_SOURCE / name, directory)
    npm = node().parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    done = subprocess.run(
        [node(), npm, "ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error"],
        cwd=directory,
        env={**os.environ, "PATH": f"{node().parent}{os.pathsep}{os.environ.get('PATH', '')}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or not tracing_ui_program(directory).is_file():
        end = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise FetchError(
            f"The tracing UI could not be fetched from the npm registry; try again, or start without it: maas up\n{end}"
        )


def _widen(page: Path) -> None:
    """Give names their room. A page of another version, where that is elsewhere, stays as it is."""
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    if all(text.count(old) == 1 for old, _ in _WIDER):
        for old, new in _WIDER:
            text = text.replace(old, new)
        page.write_text(text, encoding="utf-8")


def main() -> int:
    """Install it; returns the exit code."""
    try:
        install(LocalSettings().build, cache_directory(os.environ))
    except FetchError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
