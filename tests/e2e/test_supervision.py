"""What happens when processes die: callers get clear errors, the mesh recovers, and nothing is ever left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from deploy.local.proc import is_alive, listeners
from deploy.local.settings import REPOSITORY
from maas.models.v1 import models_pb2_grpc
from maas.models.v1 import rollout_pb2 as models_pb2
from maas.nlp.v1 import nlp_pb2, nlp_pb2_grpc
from maas.router.v1 import router_pb2, router_pb2_grpc
from maas.speech.v1 import speech_pb2_grpc, synthesis_pb2
from maas.type.v1 import media_pb2
from maas.vision.v1 import vision_pb2, vision_pb2_grpc

DEADLINE_SECONDS = 5.0
RECOVERY_SECONDS = 60.0
CLEAR = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
# Who dies -> a call that needs it.
VICTIMS = {
    "router": "capabilities",
    "preprocessing": "sentiment",
    "nlp": "sentiment",
    "vision": "classify",
    "speech": "synthesize",
    "models": "rollouts",
    "triton": "sentiment",
    "tritonserver": "sentiment",
    "gateway": "sentiment",
}
# Call -> who answers it.
ANSWERS = {
    "capabilities": "router",
    "sentiment": "nlp",
    "classify": "vision",
    "synthesize": "speech",
    "rollouts": "models",
}

Call = Callable[[], Awaitable[Any]]


@pytest.fixture
async def calls(mesh: Any) -> AsyncIterator[dict[str, Call]]:
    """Calls through the gateway, each with a deadline."""
    photo = (REPOSITORY / ".build/samples/cheetah.jpg").read_bytes()
    options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
    async with grpc.aio.insecure_channel(mesh.address, options=options) as channel:
        nlp = nlp_pb2_grpc.NlpServiceStub(channel)
        vision = vision_pb2_grpc.VisionServiceStub(channel)
        speech = speech_pb2_grpc.SpeechServiceStub(channel)
        models = models_pb2_grpc.ModelServiceStub(channel)
        router = router_pb2_grpc.RouterServiceStub(channel)
        yield {
            "sentiment": lambda: nlp.AnalyzeSentiment(
                nlp_pb2.AnalyzeSentimentRequest(contents=["What a fine day."]), timeout=DEADLINE_SECONDS
            ),
            "classify": lambda: vision.ClassifyImage(
                vision_pb2.ClassifyImageRequest(image=media_pb2.Image(content=photo)), timeout=DEADLINE_SECONDS
            ),
            "synthesize": lambda: speech.SynthesizeSpeech(
                synthesis_pb2.SynthesizeSpeechRequest(text="Hello."), timeout=DEADLINE_SECONDS
            ),
            "rollouts": lambda: models.ListRollouts(models_pb2.ListRolloutsRequest(), timeout=DEADLINE_SECONDS),
            "capabilities": lambda: router.ListCapabilities(
                router_pb2.ListCapabilitiesRequest(), timeout=DEADLINE_SECONDS
            ),
        }


@pytest.mark.parametrize("victim", VICTIMS)
async def test_killing_a_process_ends_in_a_clear_error_and_in_recovery(
    mesh: Any, calls: dict[str, Call], victim: str, wait_for: Callable[..., None]
) -> None:
    """A call in flight when its process is killed ends in time and clearly; soon calls succeed again."""
    call = calls[VICTIMS[victim]]
    assert await _code(call) is grpc.StatusCode.OK
    pid = _pid(mesh, victim)
    # Stopped first, so that the call is certainly in flight when the process dies.
    os.kill(pid, signal.SIGSTOP)
    in_flight = asyncio.ensure_future(_error(call))
    try:
        if victim not in ("gateway", "triton"):
            cluster = ANSWERS[VICTIMS[victim]]
            await asyncio.to_thread(wait_for, lambda: _active(mesh, cluster) > 0, "the call is in flight")
    finally:
        os.kill(pid, signal.SIGKILL)

    error = await asyncio.wait_for(in_flight, DEADLINE_SECONDS + 10)
    if victim in ("router", "nlp", "vision", "speech", "models"):
        assert error is not None
    if error is not None:
        assert error.code() in CLEAR, error
        assert error.details()
        if victim != "gateway" and error.code() is grpc.StatusCode.UNAVAILABLE:
            assert _reason(error), error

    codes = set()

    async def recovered() -> None:
        while (code := await _code(call)) is not grpc.StatusCode.OK or _pid(mesh, victim) in (0, pid):
            codes.add(code)
            await asyncio.sleep(0.05)

    await asyncio.wait_for(recovered(), RECOVERY_SECONDS)
    assert codes <= CLEAR | {grpc.StatusCode.OK}
    # The guard restarts Triton's server within its own process.
    process, killed = ("triton", 0) if victim == "tritonserver" else (victim, pid)
    await asyncio.to_thread(wait_for, lambda: mesh.is_back(process, killed), "every process is ready again")
    assert await _code(call) is grpc.StatusCode.OK
    if victim != "tritonserver":  # The guard sees to that one.
        await asyncio.to_thread(
            wait_for, lambda: mesh.says(f"{victim} died (terminated by SIGKILL)"), "maas up says so"
        )


def test_a_second_mesh_in_the_same_place_is_refused(mesh: Any) -> None:
    """It says that one already runs, where, and what to do."""
    done = _maas("up", environment=mesh.environment)
    assert done.returncode == 1
    assert f"a mesh already runs on port {mesh.port} (pid {mesh.process.pid})" in done.stderr
    assert "MAAS_PORT" in done.stderr


def test_status_tells_of_every_process(mesh: Any) -> None:
    """`maas status` lists each process with its state, memory, health and port, as a table and as JSON."""
    rows = json.loads(_maas("status", "--json", environment=mesh.environment).stdout)
    assert {row["process"] for row in rows} == {*VICTIMS, "tracing-ui", "prometheus"} - {"tritonserver"}
    assert all(row["ready"] and row["pid"] and row["resident_bytes"] > 1_000_000 for row in rows)
    table = _maas("status", environment=mesh.environment)
    assert table.returncode == 0
    assert "models loaded" in table.stdout


def test_status_without_a_mesh(mesh: Any, tmp_path: Path) -> None:
    """Where none runs, `maas status` says how to start one and exits with 1."""
    done = _maas("status", environment={**mesh.environment, "MAAS_RUN_DIRECTORY": str(tmp_path)})
    assert done.returncode == 1
    assert "maas up" in done.stderr


@pytest.fixture
def small_build(tmp_path: Path) -> Path:
    """A build with no model but the canary: starts fast, and never gets ready, which is enough to be killed."""
    built = REPOSITORY / ".build"
    (tmp_path / "models").mkdir()
    for name in ("protos", "assets", "tritonserver"):
        (tmp_path / name).symlink_to(built / name)
    (tmp_path / "models" / "canary").symlink_to(built / "models" / "canary")
    return tmp_path


@pytest.mark.parametrize(
    ("victim", "number"),
    [
        ("maas", signal.SIGINT),
        ("maas", signal.SIGTERM),
        ("maas", signal.SIGKILL),
        ("supervisord", signal.SIGKILL),
    ],
)
def test_nothing_is_left_behind(
    start_mesh: Callable[..., Any],
    small_build: Path,
    wait_for: Callable[..., None],
    victim: str,
    number: signal.Signals,
) -> None:
    """However the mesh ends, no process, no port and no shared-memory file of it is left."""
    mesh = start_mesh(build=small_build)
    wait_for(lambda: mesh.says("triton is ready") and mesh.says("gateway is ready"), "the mesh runs")
    pids = _descendants(mesh.process.pid)
    names = {Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids}
    assert {"envoy", "tritonserver"} <= names
    assert _shared_memory(mesh)
    supervisord = next(pid for pid in pids if "supervisord.conf" in _command(pid))

    os.kill(mesh.process.pid if victim == "maas" else supervisord, number)

    wait_for(lambda: mesh.process.poll() is not None, "maas up ends")
    wait_for(lambda: not any(is_alive(pid) for pid in pids), "every process ends")
    assert not [port for _, port in mesh.ports.items() if port in listeners()]
    assert not _shared_memory(mesh)
    if (victim, number) == ("supervisord", signal.SIGKILL):
        assert mesh.process.returncode == 1
        assert mesh.says("supervisord")
    elif number != signal.SIGKILL:
        assert mesh.process.returncode == 0
        assert mesh.says("stopped after")


async def _error(call: Call) -> grpc.aio.AioRpcError | None:
    try:
        await call()
    except grpc.aio.AioRpcError as error:
        return error
    return None


async def _code(call: Call) -> grpc.StatusCode:
    error = await _error(call)
    return grpc.StatusCode.OK if error is None else error.code()


def _reason(error: grpc.aio.AioRpcError) -> str:
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        if detail.Unpack(info) and info.domain == "maas":
            return str(info.reason)
    return ""


def _pid(mesh: Any, victim: str) -> int:
    if victim != "tritonserver":
        return int(mesh.states()[victim].pid)
    guard = mesh.states()["triton"].pid
    servers = [pid for pid in _descendants(guard) if _command(pid).split("\0")[0].endswith("tritonserver")]
    return servers[0] if servers else 0


def _active(mesh: Any, cluster: str) -> int:
    url = f"http://127.0.0.1:{mesh.ports.gateway_admin}/stats?filter=^cluster.{cluster}.upstream_rq_active$"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return int(answer.read().decode().partition(":")[2])


def _maas(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def _descendants(pid: int) -> set[int]:
    found, waiting = set(), [pid]
    while waiting:
        each = waiting.pop()
        for children in Path(f"/proc/{each}/task").glob("*/children"):
            new = {int(child) for child in children.read_text().split()} - found
            found |= new
            waiting += new
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def _shared_memory(mesh: Any) -> list[Path]:
    return list(Path("/dev/shm").glob(f"maas-triton-{mesh.ports.triton_grpc}-*"))  # noqa: S108 - it is the place
