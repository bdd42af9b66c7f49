"""The whole mesh, as `maas up` runs it, for every end-to-end test."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.health import Probe
from deploy.local.ports import BLOCK, Ports
from deploy.local.proc import is_alive, listeners
from deploy.local.processes import processes
from deploy.local.settings import REPOSITORY, LocalSettings
from deploy.local.supervision import State, Supervisor

START_SECONDS = 180.0


@dataclass
class RunningMesh:
    """A mesh that runs, and what a test needs to reach it.

    port: of the gateway; address: host:port of it; ports: of everything.
    run_directory: holds logs. process: `maas up` itself. output: what it printed.
    """

    settings: LocalSettings
    process: subprocess.Popen[bytes]
    output: Path

    @property
    def port(self) -> int:
        """The gateway's port."""
        return self.settings.port

    @property
    def ports(self) -> Ports:
        """Every port."""
        return self.settings.ports

    @property
    def address(self) -> str:
        """host:port of the gateway."""
        return f"127.0.0.1:{self.port}"

    @property
    def run_directory(self) -> Path:
        """Logs and rendered configuration."""
        return self.settings.run

    @property
    def environment(self) -> dict[str, str]:
        """For commands that are to find this mesh."""
        return environment(self.settings)

    def states(self) -> dict[str, State]:
        """Every process as the supervisor sees it."""
        return {state.name: state for state in Supervisor(self.run_directory).states()}

    def ready(self) -> bool:
        """Whether every process can do its work."""
        names = [process.name for process in processes(self.settings)]
        with Probe(self.settings) as probe:
            return all(health.ready for health in probe.ask(names).values())

    def is_back(self, name: str, killed: int) -> bool:
        """Whether another process does the work of the killed one, and callers reach every process."""
        return self.states()[name].pid not in (0, killed) and self.ready()

    def says(self, text: str) -> bool:
        """Whether `maas up` has printed this."""
        return text in self.output.read_text()


def environment(settings: LocalSettings) -> dict[str, str]:
    """The variables that mean these settings."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("MAAS_")},
        "MAAS_PORT": str(settings.port),
        "MAAS_RUN_DIRECTORY": str(settings.run),
        "MAAS_BUILD_DIRECTORY": str(settings.build),
        # Windows that a test can fill.
        "NLP_DRIFT_ITEMS": "20",
        "NLP_DRIFT_CALLS_PER_SECOND": "1000",
    }


def free_base() -> int:
    """A base port of which the whole block is free; below the ports that the kernel gives to connections."""
    taken = listeners()
    while True:
        base = random.randrange(20_000, 32_000, BLOCK)
        if not any(port in taken for port in range(base, base + BLOCK)):
            return base


@pytest.fixture(scope="session")
def wait_for() -> Callable[..., None]:
    """Wait until a condition holds, or fail and say what did not happen; takes the condition, its words, seconds."""

    def wait(condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, f"not within {seconds:.0f} s: {what}"
            time.sleep(0.05)

    return wait


@pytest.fixture(scope="session")
def start_mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RunningMesh]]:
    """Run `maas up` on free ports in a run directory of its own, without waiting for it."""
    started: list[RunningMesh] = []

    def start(*arguments: str, build: Path = REPOSITORY / ".build") -> RunningMesh:
        directory = tmp_path_factory.mktemp("mesh")
        settings = LocalSettings(
            port=free_base(), run_directory=directory / "run", build_directory=build, traces="--traces" in arguments
        )
        output = directory / "up.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "services.cli", "up", *arguments],
                env=environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started.append(RunningMesh(settings, process, output))
        return started[-1]

    yield start
    for mesh in started:
        if is_alive(mesh.process.pid):
            mesh.process.send_signal(signal.SIGTERM)
    for mesh in started:
        mesh.process.wait(120)


@pytest.fixture(scope="session")
def mesh(start_mesh: Callable[..., RunningMesh], wait_for: Callable[..., None]) -> RunningMesh:
    """The whole mesh, ready, with traces; all tests share it, and each leaves it ready."""
    running = start_mesh("--traces")
    wait_for(
        lambda: running.says("Ctrl-C stops") or not is_alive(running.process.pid), "the mesh is ready", START_SECONDS
    )
    assert is_alive(running.process.pid), running.output.read_text()
    return running
