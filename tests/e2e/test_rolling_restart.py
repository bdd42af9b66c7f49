"""Every process is replaced under load, and no call is lost."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from deploy.local.processes import SERVICES
from deploy.local.settings import REPOSITORY
from tests.e2e.steady_traffic import steady_traffic

BUILD = REPOSITORY / ".build"
# What the traffic asks for and what services need to be ready. All models would take minutes to load twice.
MODELS = (
    "canary", "efficientnet-lite0", "hibari", "lid-176", "multilingual-e5-small", "sentiment-e5-en", "silero-vad",
    "ssdlite-mobilenet-v2", "whisper-base",
)  # fmt: skip
ASK_NOT = "and so my fellow americans ask not what your country can do for you ask what you can do for your country"
PROCESSES = ("triton", *SERVICES, "gateway")


@pytest.fixture(scope="module")
def small_mesh(
    start_mesh: Callable[..., Any], wait_for: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """A mesh of its own, with few models."""
    build = tmp_path_factory.mktemp("build")
    for path in BUILD.iterdir():
        if path.name != "models":
            (build / path.name).symlink_to(path)
    (build / "models").mkdir()
    for name in MODELS:
        (build / "models" / name).symlink_to(BUILD / "models" / name)
    mesh = start_mesh(build=build)
    wait_for(lambda: mesh.says("Ctrl-C stops") or mesh.process.poll() is not None, "the mesh is ready", 180)
    assert mesh.process.poll() is None, mesh.output.read_text()
    return mesh


async def test_no_call_is_lost_while_every_process_is_replaced(small_mesh: Any) -> None:
    """Unary calls over gRPC and JSON, graphs, streams in both directions: each is answered, and each process is new."""
    steps: list[str] = []
    before = {name: small_mesh.states()[name].pid for name in PROCESSES}
    async with steady_traffic(small_mesh.address) as traffic:
        await traffic.go_on()
        for name in PROCESSES:
            steps.append(f"{time.monotonic() - traffic.began:.1f} s: {name} is replaced")
            await _replaced(small_mesh, name)
            await traffic.go_on()
    after = {name: small_mesh.states()[name].pid for name in PROCESSES}
    assert not traffic.lost, "\n".join([*steps, *traffic.lost])
    assert traffic.ended.total() > 500, traffic.ended
    assert set(map(_words, traffic.transcripts)) == {ASK_NOT}
    assert all(after[name] not in (0, before[name]) for name in PROCESSES), (before, after)
    assert small_mesh.ready()


async def _replaced(mesh: Any, name: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli", "restart", name,
        env={**mesh.environment, "COLUMNS": "200", "PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


def _words(transcript: str) -> str:
    return " ".join(re.findall(r"[a-z]+", transcript.lower()))
