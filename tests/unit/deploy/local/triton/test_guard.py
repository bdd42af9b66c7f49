"""The loop around Triton, with a shell script in Triton's place."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pydantic import ValidationError

from deploy.local.triton.guard import guard, run_once
from deploy.local.triton.settings import Settings


async def test_gives_up(make_settings, fake_server, tmp_path: Path):
    """A Triton that ends at once is started again up to the limit; then the guard reports failure."""
    fake_server(f"echo x >> {tmp_path}/starts; exit 1")
    assert await guard(make_settings(restart_limit=2), asyncio.Event()) is False
    assert (tmp_path / "starts").read_text() == "x\n" * 3


async def test_reason(make_settings, fake_server):
    """The reason for a restart tells how Triton ended."""
    fake_server("kill -SEGV $$")
    assert await run_once(make_settings(), asyncio.Event()) == "tritonserver ended with signal 11"


async def test_stops_while_running(make_settings, fake_server):
    """Told to stop, the guard ends Triton and reports success."""
    fake_server("exec sleep 60")
    stopping = asyncio.Event()
    stopping.set()
    async with asyncio.timeout(10):
        assert await guard(make_settings(), stopping) is True


async def test_stops_while_waiting(make_settings, fake_server, tmp_path: Path):
    """Told to stop between two starts, the guard does not wait for the next."""
    fake_server(f"touch {tmp_path}/started; exit 1")
    stopping = asyncio.Event()
    task = asyncio.create_task(guard(make_settings(backoff_first_seconds=60, backoff_longest_seconds=60), stopping))
    async with asyncio.timeout(10):
        while not (tmp_path / "started").exists():
            await asyncio.sleep(0.01)
        stopping.set()
        assert await task is True


async def test_never_listens(make_settings, fake_server):
    """A Triton that runs but never listens is ended, and the reason says so."""
    fake_server("exec sleep 60")
    async with asyncio.timeout(10):
        reason = await run_once(make_settings(startup_seconds=0.1), asyncio.Event())
    assert reason == "it did not listen within 0.1 s of the start"


def test_settings_from_environment(monkeypatch):
    """Settings come from TRITON_*, cannot be changed later, and a missing port is an error."""
    for name in ("HTTP_PORT", "METRICS_PORT", "SERVER_DIRECTORY", "MODEL_REPOSITORY", "RUN_DIRECTORY"):
        monkeypatch.setenv(f"TRITON_{name}", "1")
    monkeypatch.delenv("TRITON_GRPC_PORT", raising=False)
    with pytest.raises(ValidationError, match="grpc_port"):
        Settings()
    monkeypatch.setenv("TRITON_GRPC_PORT", "8001")
    settings = Settings()
    assert settings.grpc_address == "127.0.0.1:8001"
    with pytest.raises(ValidationError, match="frozen"):
        settings.grpc_port = 8002
