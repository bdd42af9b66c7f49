"""`maas models rollout` on two real Tritons under load: no call is lost, whichever way it goes and whoever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Self

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.local.triton.processes import model_processes
from maas.models.v1 import models_pb2_grpc
from maas.models.v1 import rollout_pb2 as pb
from tests.e2e.running_guard import CODE, REPOSITORY, RunningGuard, free_ports

WORSE = CODE.replace(
    "def execute(self, requests):", "def execute(self, requests):\n        import time; time.sleep(0.05)"
)
BETTER = CODE.replace("2 * value + 1", "2 * value + 2")
BROKEN = "import no_such_module"
SERVICE = "maas.models.v1.ModelService"
# A call takes a millisecond, and several times that when the machine has more to do.
LIMITS = ("--min-calls", "20", "--min-seconds", "1", "--max-latency-ratio", "10")


class Mesh:
    """Two Tritons, each with a repository of its own in which `twin` has a version 1, and the service of models."""

    def __init__(self, directory: Path) -> None:
        self.tritons = [RunningGuard(directory / name) for name in ("one", "two")]
        self.directory = directory
        self.port, self.metrics_port = free_ports(2)
        self.service: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Of the service."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the service, and wait until it is ready."""
        tritons = ",".join(f"127.0.0.1:{each.ports[0]}" for each in self.tritons)
        settings = {
            "MODELS_LISTEN_ADDRESS": self.address,
            "MODELS_METRICS_ADDRESS": f"127.0.0.1:{self.metrics_port}",
            "MODELS_TRITON_ADDRESS": f"ipv4:{tritons}",
            "MODELS_STATE": "files",
            "MODELS_STATE_DIRECTORY": str(self.directory / "rollouts"),
            "MODELS_DRAIN_SECONDS": "1",
        }
        with (self.directory / "log").open("a") as log:
            self.service = subprocess.Popen(
                [sys.executable, "-m", "services.models"], cwd=REPOSITORY, env=os.environ | settings, stderr=log
            )
        self.tritons[0].wait_until(self.serves, "the service is ready")

    def serves(self) -> bool:
        """Whether the service is ready."""
        with grpc.insecure_channel(self.address) as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(service=SERVICE), timeout=1
                )
            except grpc.RpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def rollout(self) -> pb.Rollout:
        """How far the rollout of `twin` is."""
        with grpc.insecure_channel(self.address) as channel:
            stub = models_pb2_grpc.ModelServiceStub(channel)
            return stub.GetRollout(pb.GetRolloutRequest(model="twin"), timeout=5).rollout

    def version(self, code: str) -> None:
        """A folder 2 beside 1, which no Triton loads by itself."""
        for each in self.tritons:
            folder = Path(str(each.settings["TRITON_MODEL_REPOSITORY"])) / "twin" / "2"
            folder.mkdir(exist_ok=True)
            (folder / "model.py").write_text(code)

    def roll(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command, as fast as it may be sure of."""
        done = self.rolling(*arguments)
        out, err = done.communicate(timeout=90)
        return subprocess.CompletedProcess(arguments, done.returncode, out, err)

    def rolling(self, *arguments: str) -> subprocess.Popen[str]:
        """The command, begun."""
        return subprocess.Popen(
            [sys.executable, "-m", "services.cli", "models", "rollout", "twin", *arguments, "--address", self.address],
            env=os.environ | {"COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self) -> list[int | None]:
        """What each Triton's `twin` makes of 20."""
        return [each.ask("twin", 20) for each in self.tritons]

    def stop(self) -> None:
        """End everything."""
        processes = [each.process for each in self.tritons]
        if self.service:
            processes.append(self.service)
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    """Everything runs."""
    running = Mesh(tmp_path)
    try:
        for each in running.tritons:
            each.wait_until(each.answers, "both models compute")
        running.start()
        yield running
    finally:
        running.stop()


class Load:
    """Calls to each Triton, one after another, for as long as the block runs; what was answered, by Triton."""

    def __init__(self, tritons: list[RunningGuard]) -> None:
        self.answers = [Counter[int | None]() for _ in tritons]
        self._end = Event()
        self._threads = [Thread(target=self._call, args=pair) for pair in zip(tritons, self.answers, strict=True)]

    def _call(self, triton: RunningGuard, answers: Counter[int | None]) -> None:
        while not self._end.is_set():
            answers[triton.ask("twin", 20)] += 1

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()


def test_a_better_version_takes_over_and_one_that_is_slow_or_broken_goes_back(mesh: Mesh) -> None:
    """Each Triton answers every call throughout: by the old version, and after the promotion by the new one."""
    with Load(mesh.tritons) as load:
        mesh.version(WORSE)
        slow = mesh.roll("2", *LIMITS)
        mesh.version(BROKEN)
        broken = mesh.roll("2", *LIMITS)
    assert (slow.returncode, broken.returncode) == (1, 1), (slow.stdout, slow.stderr, broken.stdout, broken.stderr)
    assert "rolled back: a call takes" in slow.stdout
    assert "rolled back: 127.0.0.1" in broken.stdout
    assert "no_such_module" in broken.stdout
    assert str(mesh.directory) not in broken.stdout
    assert [set(answers) for answers in load.answers] == [{41}, {41}], load.answers
    with Load(mesh.tritons) as load:
        mesh.version(BETTER)
        better = mesh.roll("2", *LIMITS)
        back = mesh.roll("--back")
    assert (better.returncode, back.returncode) == (0, 0), (better.stdout, better.stderr, back.stdout, back.stderr)
    assert "promoted: " in better.stdout
    assert [set(answers) for answers in load.answers] == [{41, 42}, {41, 42}], load.answers
    assert mesh.ask() == [41, 41]


def test_a_rollout_outlives_the_service_that_drives_it(mesh: Mesh) -> None:
    """The service is killed while one Triton has the new version; the next one promotes it, and the command sees it."""
    mesh.version(BETTER)
    with Load(mesh.tritons) as load:
        command = mesh.rolling("2", *LIMITS, "--min-seconds", "3")
        mesh.tritons[0].wait_until(lambda: sorted(mesh.ask(), key=str) == [41, 42], "one has the new version")
        assert mesh.service is not None
        mesh.service.kill()
        mesh.service.wait()
        mesh.start()
        assert mesh.rollout().state == pb.ROLLOUT_STATE_RUNNING
        out, err = command.communicate(timeout=90)
    assert command.returncode == 0, (out, err)
    assert "promoted: " in out
    assert out.count("loads version 2") == 2
    assert mesh.ask() == [42, 42]
    assert all(None not in answers for answers in load.answers), load.answers


def test_a_triton_that_starts_anew_is_held_to_what_was_decided(mesh: Mesh) -> None:
    """It loads the newest version, which had been rolled back; within seconds it serves the one before."""
    mesh.version(BETTER)
    with Load(mesh.tritons):
        assert mesh.roll("2", *LIMITS).returncode == 0
    assert mesh.roll("--back").returncode == 0
    first, second = mesh.tritons
    # A model's process that dies is started again in the version that was decided, and in no other.
    with Load([second]) as load:
        server = second.triton()
        assert server is not None
        (twin,) = (process for process in model_processes(server).values() if process.model == "twin")
        os.kill(twin.pid, signal.SIGKILL)
        second.wait_until(lambda: None in load.answers[0], "its calls fail")
        second.wait_until(lambda: second.ask("twin", 20) == 41, "its model was reloaded")
    assert set(load.answers[0]) == {41, None}
    first.process.terminate()
    first.process.wait(30)
    first.process = first.start()
    first.wait_until(lambda: first.ask("twin", 20) == 42, "it serves the newest")
    first.wait_until(lambda: first.ask("twin", 20) == 41, "it was put right")
