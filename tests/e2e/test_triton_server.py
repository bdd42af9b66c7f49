"""The guard with a real Triton: whatever dies comes back, and whatever ends leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from deploy.local.triton.processes import model_processes
from tests.e2e.running_guard import REPOSITORY, SHARED_MEMORY, RunningGuard, command_line


def listening(port: int) -> bool:
    """Whether something listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGuard]:
    """One guard for the tests after which Triton runs again."""
    guard = RunningGuard(tmp_path_factory.mktemp("guard"))
    yield guard
    guard.process.terminate()
    assert guard.process.wait(20) == 0


@pytest.fixture
def guard(shared: RunningGuard) -> RunningGuard:
    """The shared guard, with Triton answering."""
    shared.wait_until(shared.answers, "both models answer")
    return shared


@pytest.fixture
def own_guard(tmp_path: Path) -> Iterator[RunningGuard]:
    """A guard that the test may end, with Triton answering."""
    guard = RunningGuard(tmp_path)
    guard.wait_until(guard.answers, "both models answer")
    yield guard
    guard.process.terminate()
    guard.process.wait(20)


def test_serves_on_loopback_only(guard: RunningGuard):
    """Triton answers on its three ports, and on no address but loopback."""
    assert all(listening(port) for port in guard.ports)
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listeners = {fields[1] for fields in lines if fields[3] == "0A" and int(fields[1].split(":")[1], 16) in guard.ports}
    assert {address.split(":")[0] for address in listeners} == {"0100007F"}


def test_killed_model_process(guard: RunningGuard):
    """A model whose process was killed answers again, without a restart of Triton, and its shared memory is gone."""
    triton = guard.triton()
    assert triton
    victim = model_processes(triton)["twin_0_0"]
    os.kill(victim.pid, signal.SIGKILL)
    guard.wait_until(lambda: guard.ask("twin", 4) == 9, "the model answers again")
    guard.wait_until(lambda: not (SHARED_MEMORY / victim.shared_memory).exists(), "its shared memory is removed")
    assert guard.triton() == triton
    assert model_processes(triton)["twin_0_0"].pid != victim.pid


def test_model_unloaded_by_request(guard: RunningGuard):
    """A model that somebody unloads stays unloaded: its process went because it was asked to."""
    with grpc.insecure_channel(f"127.0.0.1:{guard.ports[0]}") as channel:
        stub = GRPCInferenceServiceStub(channel)
        stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="twin"))
        guard.wait_until(lambda: "twin_0_0" not in model_processes(guard.triton() or 0), "its process ends")
        reloads = guard.log.read_text().count("model reloaded")
        stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="twin"))
    guard.wait_until(guard.answers, "it answers after being loaded")
    assert guard.log.read_text().count("model reloaded") == reloads


def test_killed_server(guard: RunningGuard):
    """A Triton that was killed comes back, and the old one's shared memory is gone."""
    triton, files = guard.triton(), guard.shared_memory()
    assert triton
    assert files
    os.kill(triton, signal.SIGKILL)
    guard.wait_until(lambda: guard.triton() not in {triton, None}, "a new Triton")
    guard.wait_until(guard.answers, "both models answer")
    assert not set(files) & set(guard.shared_memory())


def test_hung_server(guard: RunningGuard):
    """A Triton that lives but does not answer is replaced."""
    triton = guard.triton()
    assert triton
    os.kill(triton, signal.SIGSTOP)
    guard.wait_until(lambda: guard.triton() not in {triton, None}, "a new Triton")
    guard.wait_until(guard.answers, "both models answer")
    assert not command_line(triton)


def test_busy_port(guard: RunningGuard, tmp_path: Path):
    """A second guard on the same ports says so and ends with code 78, and takes nothing from the first."""
    files = guard.shared_memory()
    second = subprocess.run(
        [sys.executable, "-m", "deploy.local.triton"],
        cwd=REPOSITORY,
        env=os.environ
        | {name: str(value) for name, value in guard.settings.items()}
        | {"TRITON_RUN_DIRECTORY": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == os.EX_CONFIG
    assert f"Port {guard.ports[0]} on 127.0.0.1 cannot be used" in second.stderr
    assert guard.shared_memory() == files
    assert guard.answers()


def test_terminated_guard(own_guard: RunningGuard):
    """SIGTERM ends the guard with code 0 and leaves no process, no listener and no shared memory."""
    processes = own_guard.processes()
    assert len(processes) == 3
    own_guard.process.terminate()
    assert own_guard.process.wait(20) == 0
    own_guard.wait_until(lambda: not any(map(command_line, processes)), "all processes are gone", 2)
    assert not any(map(listening, own_guard.ports))
    assert not own_guard.shared_memory()


def test_killed_guard(own_guard: RunningGuard):
    """When the guard is killed, Triton and its model processes die with it, and the next guard starts and cleans up."""
    processes, leftover = own_guard.processes(), SHARED_MEMORY / f"maas-triton-{own_guard.ports[0]}-leftover"
    leftover.touch()
    own_guard.process.kill()
    own_guard.wait_until(lambda: not any(map(command_line, processes)), "all processes are gone")
    assert not any(map(listening, own_guard.ports))
    own_guard.process.wait()
    own_guard.process = own_guard.start()
    own_guard.wait_until(own_guard.answers, "both models answer")
    assert not leftover.exists()
