"""A mesh of fakes on a real socket, and the command run against it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from typer.testing import CliRunner, Result

from services.cli.app import build
from tests.unit.cli.fakes import FakeMesh, Maas


@pytest.fixture
def mesh(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeMesh]:
    """A mesh of fakes on a free port, which the command finds by MAAS_ADDRESS."""
    fake = FakeMesh()
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((fake,))
    fake.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    monkeypatch.setenv("MAAS_ADDRESS", fake.address)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    yield fake
    server.stop(grace=None).wait()


@pytest.fixture
def maas() -> Maas:
    """Runs `maas` with arguments and standard input, in this process."""

    def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(build(arguments), arguments, input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result

    return run


@pytest.fixture
def unused_address() -> str:
    """An address of this machine on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"
