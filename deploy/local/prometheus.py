"""`python -m deploy.local.prometheus` puts Prometheus and promtool into .build/prometheus, without root.

Taken are the programs on PATH, else Debian's packages, unpacked and not installed: as root an installed one would start
a server of its own on this machine. Where neither is to be had the mesh runs without it, which one sentence says.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.local.scraping import Programs, programs
from deploy.local.settings import LocalSettings
from deploy.models.fetch import FetchError, atomic_directory, cache_directory

_NAMES = ("prometheus", "promtool")
# What its pages need. Packages that they depend on in turn, such as dash or libc, are not.
_PAGES = re.compile(r"(libjs-|fonts-)[a-z0-9.+-]+")
_TIMEOUT_SECONDS = 300


def install(build: Path, cache: Path) -> Programs:
    """Make sure that the build directory has the programs. Raises FetchError."""
    if found := programs(build):
        return found
    on_path = [shutil.which(name) for name in _NAMES]
    link = build / "prometheus"
    if link.is_symlink():
        link.unlink()  # The cache that it led into has gone.
    if all(on_path):
        (link / "usr" / "bin").mkdir(parents=True, exist_ok=True)
        for name, program in zip(_NAMES, on_path, strict=True):
            (link / "usr" / "bin" / name).symlink_to(str(program))
    else:
        installed = cache / "prometheus" / _system()
        if not installed.is_dir():
            with atomic_directory(installed) as draft:
                _unpack(draft)
        build.mkdir(parents=True, exist_ok=True)
        link.symlink_to(installed)
    if found := programs(build):
        return found
    raise FetchError(f"There is no prometheus and promtool in {link}: remove it and try again.")


def _unpack(directory: Path) -> None:
    """Unpack Debian's package and those of its pages, and see that the program starts. Raises FetchError."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise FetchError("this machine has no Debian packages: put prometheus and promtool on PATH")
    # A machine that is new has no list of packages yet.
    if not _said("apt-cache", "show", "prometheus", check=False) and os.geteuid() == 0:
        _said("apt-get", "update", "--quiet")
    pages = _packages("prometheus") | {"libjs-d3"}  # d3 is needed by another of them
    downloads = directory / "packages"
    downloads.mkdir()
    _said("apt-get", "download", "--quiet", "prometheus", *sorted(pages), directory=downloads)
    for package in sorted(downloads.glob("*.deb")):
        _said("dpkg-deb", "--extract", str(package), str(directory))
    shutil.rmtree(downloads)
    # Of time zones the pages take one file; their sources are 200 MB.
    shutil.rmtree(directory / "usr" / "share" / "javascript" / "moment-timezone" / "data", ignore_errors=True)
    for name in _NAMES:
        _said(str(directory / "usr" / "bin" / name), "--version")


def _packages(name: str) -> set[str]:
    depends = _said("apt-cache", "depends", "--no-recommends", "--no-suggests", name)
    return {match[0] for line in depends.splitlines() if "Depends:" in line and (match := _PAGES.search(line))}


def _said(*command: str, directory: Path | None = None, check: bool = True) -> str:
    """What a program prints. Raises FetchError with its last words when it fails and that matters."""
    done = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_SECONDS,
    )
    if done.returncode and check:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise FetchError(f"{Path(command[0]).name} failed ({re.sub(r'https?://[^ ]+', '<address>', last)[:200]})")
    return done.stdout


def _system() -> str:
    """The distribution, since its packages fit no other."""
    release = Path("/etc/os-release")
    lines = release.read_text().splitlines() if release.is_file() else []
    values = dict(line.replace('"', "").split("=", 1) for line in lines if "=" in line)
    return f"{values.get('ID', 'linux')}-{values.get('VERSION_ID', '')}"


def main() -> int:
    """Install it where that is possible; returns the exit code, 0 also when it is left out."""
    try:
        install(LocalSettings().build, cache_directory(os.environ))
    except (FetchError, OSError, subprocess.TimeoutExpired) as error:
        print(f"Prometheus is left out, the mesh runs without it: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
