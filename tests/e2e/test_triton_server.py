"""The guard with a real Triton: whatever dies comes back, and whatever ends leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from deploy.local.triton.processes import model_processes

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Triton puts it
CONFIGURATION = """
backend: "python"
input [ { name: "value" data_type: TYPE_INT32 dims: [ 1 ] } ]
output [
  { name: "value" data_type: TYPE_INT32 dims: [ 1 ] },
  { name: "execution_ns" data_type: TYPE_INT64 dims: [ 2 ] }
]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""
CODE = """
import os
import numpy
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        assert numpy.__file__.startswith(os.environ["MAAS_PYTHON_PREFIX"]), numpy.__file__

    def execute(self, requests):
        values = [pb_utils.get_input_tensor_by_name(request, "value").as_numpy() for request in requests]
        times = pb_utils.Tensor("execution_ns", numpy.zeros(2, numpy.int64))
        return [pb_utils.InferenceResponse([pb_utils.Tensor("value", 2 * value + 1), times]) for value in values]
"""


class RunningGuard:
    """A guard in a process of its own, on free ports and a model repository of two models."""

    def __init__(self, directory: Path) -> None:
        for model in ("canary", "twin"):
            (directory / "models" / model / "1").mkdir(parents=True)
            (directory / "models" / model / "config.pbtxt").write_text(CONFIGURATION)
            (directory / "models" / model / "1" / "model.py").write_text(CODE)
        self.ports = free_ports(3)
        self.settings = {
            "TRITON_GRPC_PORT": self.ports[0],
            "TRITON_HTTP_PORT": self.ports[1],
            "TRITON_METRICS_PORT": self.ports[2],
            "TRITON_SERVER_DIRECTORY": REPOSITORY / ".build" / "tritonserver",
            "TRITON_MODEL_REPOSITORY": directory / "models",
            "TRITON_RUN_DIRECTORY": directory / "run",
            "TRITON_CANARY_INTERVAL_SECONDS": 0.2,
            "TRITON_CANARY_TIMEOUT_SECONDS": 1,
            "TRITON_CANARY_FAILURES": 2,
            "TRITON_BACKOFF_FIRST_SECONDS": 0.1,
            "TRITON_KILL_SECONDS": 1,
            # Wrong on purpose: the guard must keep it from the model processes.
            "PYTHONPATH": "/nowhere",
        }
        self.log = directory / "log"
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start a guard with these settings."""
        with self.log.open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "deploy.local.triton"],
                cwd=REPOSITORY,
                env=os.environ | {name: str(value) for name, value in self.settings.items()},
                stdout=log,
                stderr=log,
            )

    def ask(self, model: str, value: int) -> int | None:
        """The model's answer, None when it gave none."""
        with grpc.insecure_channel(f"127.0.0.1:{self.ports[0]}") as channel:
            request = pb.ModelInferRequest(
                model_name=model,
                inputs=[pb.ModelInferRequest.InferInputTensor(name="value", datatype="INT32", shape=[1])],
                raw_input_contents=[np.array([value], np.int32).tobytes()],
            )
            try:
                response = GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=3)
            except grpc.RpcError:
                return None
        return int(np.frombuffer(response.raw_output_contents[0], np.int32)[0])

    def answers(self) -> bool:
        """Whether both models compute."""
        return self.ask("canary", 20) == 41 and self.ask("twin", -3) == -5

    def triton(self) -> int | None:
        """The process id of tritonserver, None while there is none."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        pids = [int(pid) for pid in children.read_text().split()] if children.exists() else []
        return next((pid for pid in pids if "tritonserver" in command_line(pid)), None)

    def processes(self) -> list[int]:
        """The ids of tritonserver and its model processes."""
        triton = self.triton()
        return [triton, *(process.pid for process in model_processes(triton).values())] if triton else []

    def shared_memory(self) -> list[Path]:
        """Its files in shared memory."""
        return list(SHARED_MEMORY.glob(f"maas-triton-{self.ports[0]}-*"))

    def wait_until(self, condition: Callable[[], object], what: str, seconds: float = 20) -> None:
        """Wait for a condition, but not for ever."""
        give_up = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < give_up, f"not within {seconds} s: {what}\n{self.log.read_text()}"
            time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [port_socket.getsockname()[1] for port_socket in sockets]
    for port_socket in sockets:
        port_socket.close()
    return ports


def command_line(pid: int) -> str:
    """A process's command line, "" when there is no such process or only the remains of one."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


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
