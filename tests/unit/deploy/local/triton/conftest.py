"""Settings on free ports, and a server that is a shell script."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local.triton.settings import Settings

MakeSettings = Callable[..., Settings]


@pytest.fixture
def make_settings(tmp_path: Path) -> MakeSettings:
    """Builds settings whose folders lie in the test's own; keyword arguments override."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    (tmp_path / "shm").mkdir()

    def make(**changes: object) -> Settings:
        values: dict[str, object] = {
            "grpc_port": ports[0],
            "http_port": ports[1],
            "metrics_port": ports[2],
            "server_directory": tmp_path / "server",
            "model_repository": tmp_path / "models",
            "run_directory": tmp_path / "run",
            "backends_directory": tmp_path / "our-backends",
            "shared_memory_directory": tmp_path / "shm",
            "backoff_first_seconds": 0.01,
            "kill_seconds": 0.2,
            "drain_seconds": 1,
        }
        return Settings.model_validate(values | changes)

    return make


@pytest.fixture
def fake_server(tmp_path: Path) -> Callable[[str], None]:
    """Puts a shell script in the place of tritonserver, and files in the places of its backend."""

    def install(script: str) -> None:
        server = tmp_path / "server"
        stub = server / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}"
        for directory in (server / "bin", server / "backends" / "python", stub):
            directory.mkdir(parents=True)
        for path in (
            server / "backends" / "python" / "libtriton_python.so",
            server / "backends" / "python" / "triton_python_backend_utils.py",
            stub / "triton_python_backend_stub",
        ):
            path.write_text(path.name)
        binary = server / "bin" / "tritonserver"
        binary.write_text(f"#!/bin/sh\n{script}\n")
        binary.chmod(0o755)

    return install
