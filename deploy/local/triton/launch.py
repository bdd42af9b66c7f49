"""Starts and ends the embedded tritonserver: backends, environment, command line, process group, shared memory."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import sysconfig
from asyncio.subprocess import DEVNULL, Process
from contextlib import suppress
from pathlib import Path

from deploy.local.triton import tether
from deploy.local.triton.processes import STUB, kill_orphans
from deploy.local.triton.settings import Settings


def server_binary(settings: Settings) -> Path:
    """The tritonserver program."""
    return settings.server_directory / "bin" / "tritonserver"


def stub_binary(settings: Settings) -> Path:
    """The program that runs one model process with the Python we run on."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return settings.server_directory / "python_backend_stubs" / version / STUB


def prepare_backends(settings: Settings) -> Path:
    """Build the backend directory anew, and return it: the wheel's Python backend, and our own ones on top of it."""
    directory = settings.run_directory.resolve() / "backends"
    shutil.rmtree(directory, ignore_errors=True)
    python = directory / "python"
    python.mkdir(parents=True)
    for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
        shutil.copy2(settings.server_directory / "backends" / "python" / name, python)
    # A link, not a copy: the stub finds the wheel's libraries by the path of the file itself.
    (python / STUB).symlink_to(stub_binary(settings).resolve())
    if settings.backends_directory.is_dir():
        for backend in settings.backends_directory.iterdir():
            if backend.is_dir():
                (directory / backend.name).symlink_to(backend.resolve())
    return directory


def environment() -> dict[str, str]:
    """Our own environment, with what makes a model process use this Python and nothing else."""
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    return kept | {
        # The stub takes the packages of the first python3 on PATH.
        "PATH": f"{Path(sys.prefix, 'bin')}:{os.environ.get('PATH', os.defpath)}",
        "LD_LIBRARY_PATH": ":".join(library_directories()),
        "MAAS_PYTHON_PREFIX": sys.prefix,  # models check in `initialize` that numpy comes from here
        "OMP_NUM_THREADS": "1",  # instances are the parallelism; spinning threads cost a factor of ten on few cores
        "PYTHONDONTWRITEBYTECODE": "1",  # the model repository is built, and known by the hash of its content
    }


def library_directories() -> list[str]:
    """Where libpython may lie: as Python was configured, and beside it in case it was moved since."""
    configured = sysconfig.get_config_var("LIBDIR")
    return list(dict.fromkeys(path for path in (configured, f"{sys.base_prefix}/lib") if path))


def command(settings: Settings, backends: Path) -> list[str]:
    """The command line of tritonserver."""
    options = {
        "model-repository": settings.model_repository.resolve(),
        "backend-directory": backends,
        "cache-directory": settings.server_directory.resolve() / "caches",
        # By itself it would listen on all interfaces.
        "grpc-address": settings.listen_host,
        "grpc-port": settings.grpc_port,
        "http-address": settings.listen_host,
        "http-port": settings.http_port,
        "metrics-address": settings.listen_host,
        "metrics-port": settings.metrics_port,
        "model-control-mode": "explicit",
        "load-model": "*",
        # One broken model must not keep the others away, nor one that is being loaded anew: services look at each.
        "exit-on-error": "false",
        "strict-readiness": "false",
        "backend-config": f"python,shm-region-prefix-name={settings.shared_memory_prefix}",
        "exit-timeout-secs": settings.drain_seconds,
        "allow-gpu-metrics": "false",
        "log-format": "ISO8601",
    }
    return [
        str(server_binary(settings).resolve()),
        *(f"--{name}={value}" for name, value in options.items()),
        # Asking each model process for its configuration first makes starting take five times as long.
        "--disable-auto-complete-config",
        *(f"--trace-config={value}" for value in settings.trace_config),
    ]


async def start(settings: Settings) -> Process:
    """Start tritonserver in a process group of its own that does not outlive us. Call it from the main thread.

    (The kernel counts the thread that forked as the parent.)
    """
    remove_leftovers(settings)
    arguments = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid())]
    return await asyncio.create_subprocess_exec(
        *arguments,
        *command(settings, prepare_backends(settings)),
        env=environment(),
        stdin=DEVNULL,
        process_group=0,
    )


async def end(process: Process, settings: Settings, *, patience_seconds: float) -> None:
    """End tritonserver and its model processes, and remove its shared memory: SIGTERM, patience, SIGKILL."""
    # Only tritonserver is asked: its model processes must live until the calls in flight have ended.
    with suppress(ProcessLookupError):
        process.terminate()
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), patience_seconds)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    remove_leftovers(settings)


def remove_leftovers(settings: Settings) -> None:
    """Remove what this Triton, or one before it on the same port, left: model processes and shared memory."""
    kill_orphans(settings.shared_memory_prefix)
    for path in settings.shared_memory_directory.glob(f"{settings.shared_memory_prefix}*"):
        path.unlink(missing_ok=True)
