"""A guard with a real Triton of two small models."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
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
