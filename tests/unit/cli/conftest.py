"""A mesh of fakes on a real socket, and the command run against it."""

from __future__ import annotations

import io
import socket
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import grpc
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from services.cli import hearing, looking, tour
from services.cli.app import build as commands
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
        result = CliRunner().invoke(commands(arguments), arguments, input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result

    return run


@pytest.fixture
def unused_address() -> str:
    """An address of this machine on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build directory with samples."""
    samples = tmp_path / "samples"
    samples.mkdir()
    for name in (looking.PHOTO, looking.PORTRAIT, looking.PAGE):
        Image.new("RGB", (64, 48), "brown").save(samples / name)
    with av.open(str(samples / looking.VIDEO), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = 64, 48
        container.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", (64, 48)))))
        container.mux(stream.encode())
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(b"\0\0" * 1600)
    for name in (hearing.SPEECH, tour.QUOTE):
        (samples / name).write_bytes(sound.getvalue())
    monkeypatch.setenv("MAAS_BUILD_DIRECTORY", str(tmp_path))
    return tmp_path
