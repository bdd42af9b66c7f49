"""What must be right before the embedded Triton starts. Each problem is a sentence that says what to do.

Without them Triton would not fail but hang, or give wrong numbers, and say nothing.
"""

from __future__ import annotations

import errno
import importlib.metadata
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from deploy.local.triton.launch import environment, server_binary, stub_binary
from deploy.local.triton.settings import HOST, MEBIBYTE, Settings

CANARY = "canary"
# The first release without the crashes of 24.10 under --trace-config is later; the exact one is not known here.
_LAST_RELEASE_THAT_MUST_NOT_TRACE = (24, 10)
# The ports of a Triton that was just killed may take a moment to come free.
_PORT_SECONDS = 3.0


def problems(settings: Settings) -> list[str]:
    """Why Triton cannot start here; [] when it can. Runs `ldd` and may wait for a port for some seconds."""
    server, stub = server_binary(settings), stub_binary(settings)
    found = [numpy_problem(_numpy_version()), python_problem(Path(sys.prefix))]
    if not server.is_file():
        found.append(f"There is no Triton server at {server}; run `make models` to fetch it.")
    elif not stub.is_file():
        found.append(stub_problem(stub))
    else:
        found += [missing_libraries(program, linked_libraries(program)) for program in (server, stub)]
    found.append(repository_problem(settings.model_repository))
    found.append(shared_memory_problem(settings))
    found.append(tracing_problem(settings))
    ports = {name: getattr(settings, name) for name in ("grpc_port", "http_port", "metrics_port")}
    give_up = time.monotonic() + _PORT_SECONDS
    found += [
        port_problem(f"TRITON_{name.upper()}", port, host=settings.listen_host, give_up=give_up)
        for name, port in ports.items()
    ]
    return [problem for problem in found if problem]


def _numpy_version() -> str | None:
    try:
        return importlib.metadata.version("numpy")
    except importlib.metadata.PackageNotFoundError:
        return None


def numpy_problem(version: str | None) -> str | None:
    """version: of numpy, None when it is not installed."""
    if version is None:
        return f"numpy is not installed in {sys.prefix}, and model processes need it; run `make install`."
    if int(version.split(".")[0]) >= 2:  # noqa: PLR2004 - the major version that breaks
        return (
            f"numpy {version} is installed, with which this Triton silently corrupts tensors; "
            f"run `{sys.prefix}/bin/pip install 'numpy>=1.26.4,<2'`."
        )
    return None


def python_problem(prefix: Path) -> str | None:
    """prefix: of the Python that model processes shall use; they find it as `python3` on PATH."""
    if not (prefix / "bin" / "python3").exists():
        return f"There is no bin/python3 in {prefix}, so model processes would use another Python; run from a venv."
    return None


def stub_problem(stub: Path) -> str:
    """stub: the one that is missing."""
    version = stub.parent.name
    have = sorted(path.name for path in stub.parent.parent.glob("*"))
    return (
        f"This Triton has no model process for Python {version} (it has some for {', '.join(have) or 'none'}); "
        "make the virtual environment with Python 3.11 or 3.12."
    )


def linked_libraries(program: Path) -> str:
    """What `ldd` says of a program in the environment it will have."""
    if shutil.which("ldd") is None:
        return ""
    listing = subprocess.run(
        ["ldd", program.resolve()], env=environment(), capture_output=True, text=True, check=False, timeout=30
    )
    return listing.stdout + listing.stderr


def missing_libraries(program: Path, listing: str) -> str | None:
    """listing: what `ldd` said of the program. A missing library would make it hang for ever, silently."""
    if not listing:
        return "There is no command `ldd` to check Triton's libraries with; install libc-bin (Fedora: glibc-common)."
    if match := re.search(r"version `(GLIBC\w*_[\d.]+)' not found", listing):
        return f"{program.name} needs {match[1]}, newer than this system's; use Debian 12, Ubuntu 22.04 or later."
    missing = re.findall(r"^\s*(\S+) => not found", listing, flags=re.MULTILINE)
    if python := next((name for name in missing if name.startswith("libpython")), None):
        version = ".".join(python.removeprefix("libpython").split(".")[:2])
        return (
            f"The Python {version} at {sys.base_prefix} has no shared library {python}, which model processes need; "
            f"install it (Debian, Ubuntu: `apt install libpython{version}`; Fedora: `dnf install python{version}-libs`)"
            " or use a Python that was built with --enable-shared "
            f"(pyenv: `PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install {version}`)."
        )
    if missing:
        return f"{program.name} needs {', '.join(missing)}; install the system packages that hold them."
    if "not a dynamic executable" in listing or "cannot execute" in listing:
        return f"{program} cannot run on this machine; the embedded Triton needs Linux on x86_64 with glibc."
    return None


def repository_problem(repository: Path) -> str | None:
    """repository: the model repository, which must hold the canary."""
    if not (repository / CANARY / "config.pbtxt").is_file():
        return f"There is no model '{CANARY}' in the model repository {repository}; run `make models` to build it."
    return None


def shared_memory_problem(settings: Settings) -> str | None:
    """Whether model processes find room for their tensors: without it they die of SIGBUS in the middle of a call."""
    directory = settings.shared_memory_directory
    if not os.access(directory, os.W_OK):
        return f"{directory} cannot be written to, and model processes keep tensors there; mount a tmpfs on it."
    models = len(list(settings.model_repository.glob("*/config.pbtxt")))
    needed, free = models * settings.shared_memory_bytes_per_model, shutil.disk_usage(directory).free
    if free >= needed:
        return None
    return (
        f"{directory} has {free // MEBIBYTE} MiB free, and {models} models need {needed // MEBIBYTE} MiB; remove what "
        "fills it or make it larger (in Docker: --shm-size), or lower TRITON_SHARED_MEMORY_BYTES_PER_MODEL."
    )


def port_problem(variable: str, port: int, *, host: str = HOST, give_up: float) -> str | None:
    """variable: the setting that chooses the port. Waits until `give_up` (time.monotonic()) for it to come free."""
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Triton: lingering connections do not count
            try:
                probe.bind((host, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > give_up:
                    return f"Port {port} on {host} cannot be used ({error.strerror}); free it or set {variable}."
            else:
                return None
        time.sleep(0.1)


def tracing_problem(settings: Settings) -> str | None:
    """Triton's own tracing crashes the embedded server (triton-inference-server/server#7795)."""
    year, month = (int(part) for part in settings.server_release.split("."))
    if settings.trace_config and (year, month) <= _LAST_RELEASE_THAT_MUST_NOT_TRACE:
        return (
            f"Triton {settings.server_release} crashes under load when it traces; unset TRITON_TRACE_CONFIG (our "
            "models report their times themselves), or use a newer server and set TRITON_SERVER_RELEASE."
        )
    return None
