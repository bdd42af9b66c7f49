"""What is checked before anything starts."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.lock import AlreadyRunning, Holder, holder, locked
from deploy.local.mesh import CannotStart, check
from deploy.local.ports import BLOCK, Ports
from deploy.local.proc import is_alive, listeners, owner, resident_bytes
from deploy.local.processes import processes
from deploy.local.settings import LocalSettings
from services.mesh.settings import IN_PROCESS


@pytest.fixture
def settings(tmp_path: Path) -> LocalSettings:
    """A build that has everything, on ports that are free."""
    build = tmp_path / "build"
    for name in ("tritonserver", "models", "assets", "protos", "tracing-ui/node_modules/autotel-devtools/dist"):
        (build / name).mkdir(parents=True)
    (build / "protos/maas.binpb").touch()
    (build / "tracing-ui/node_modules/autotel-devtools/dist/cli.js").touch()
    return LocalSettings(port=19_000, build_directory=build, run_directory=tmp_path / "run", traces=True)


def test_ports_are_all_different_and_within_the_block() -> None:
    """Two meshes a block apart never meet, nor do the second instances of one."""
    ports = Ports.from_base(1000)
    numbers = [port for each in (ports, ports.twins()) for _, port in each.items()]
    assert len(set(numbers)) == len(numbers)
    assert all(1000 <= number < 1000 + BLOCK for number in numbers)


def test_a_complete_build_passes(settings: LocalSettings) -> None:
    """Nothing is missing and no port is taken."""
    check(settings)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("protos/maas.binpb", "make protos"),
        ("models", "make models"),
        ("assets", "make models"),
        ("tritonserver", "make models"),
        ("tracing-ui/node_modules/autotel-devtools/dist/cli.js", "make tracing-ui"),
    ],
)
def test_what_is_missing_is_named_with_its_command(settings: LocalSettings, name: str, command: str) -> None:
    """The sentence says what to type."""
    path = settings.build / name
    path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(CannotStart, match=command):
        check(settings)


def test_a_taken_port_is_named_with_its_process(settings: LocalSettings) -> None:
    """Which port, for what, and who has it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        wanted = settings.model_copy(update={"port": port - 4})
        expected = re.compile(rf"port {port} \(nlp\) is taken by .*\(pid {os.getpid()}\); stop that or set MAAS_PORT")
        with pytest.raises(CannotStart, match=expected):
            check(wanted)


def test_each_process_knows_where_the_others_are(settings: LocalSettings) -> None:
    """The table gives each service the addresses of what it asks, and no other name appears twice."""
    table = {process.name: process for process in processes(settings)}
    ports = settings.ports
    twins_ports = ports.twins()
    triton = f"ipv4:127.0.0.1:{ports.triton_grpc},127.0.0.1:{twins_ports.triton_grpc}"
    assert table["nlp"].environment["NLP_TRITON_ADDRESS"] == triton
    speech = f"ipv4:127.0.0.1:{ports.speech},127.0.0.1:{twins_ports.speech}"
    assert table["router"].environment["ROUTER_SPEECH_ADDRESS"] == speech
    assert table["nlp"].environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == f"http://127.0.0.1:{ports.tracing_grpc}"
    assert table["gateway"].rank == max(process.rank for process in table.values())
    drained = [name for name in table if name not in ("tracing-ui", "triton")]
    assert all(table[name].rank > table["triton"].rank for name in drained)


@pytest.mark.parametrize("name", ["nlp", "vision", "speech"])
def test_preprocessing_in_process_by_a_setting(settings: LocalSettings, name: str) -> None:
    """By default a service asks preprocessing; told otherwise it does the work itself, and preprocessing still runs."""
    prefix = name.upper()
    remote = {process.name: process.environment for process in processes(settings)}
    assert f"127.0.0.1:{settings.ports.preprocessing}" in remote[name][f"{prefix}_PREPROCESSING_ADDRESS"]
    assert f"{prefix}_ASSETS_DIRECTORY" not in remote[name]
    in_process = settings.model_copy(update={"preprocessing": "in-process"})
    local = {process.name: process.environment for process in processes(in_process)}
    assert local[name][f"{prefix}_PREPROCESSING_ADDRESS"] == IN_PROCESS
    assert local[name][f"{prefix}_ASSETS_DIRECTORY"] == str(settings.build / "assets")
    assert local["preprocessing"] == remote["preprocessing"]
    assert local["router"] == remote["router"]


def test_without_traces_nothing_is_exported(settings: LocalSettings) -> None:
    """A collector in the caller's own environment is not used."""
    table = {process.name: process for process in processes(settings.model_copy(update={"traces": False}))}
    assert "tracing-ui" not in table
    assert table["nlp"].environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == ""


def test_one_mesh_a_run_directory(tmp_path: Path) -> None:
    """A second one is told who holds it; afterwards it is free again."""
    with locked(tmp_path, 8080):
        with (
            pytest.raises(AlreadyRunning, match=rf"port 8080 \(pid {os.getpid()}\).*MAAS_PORT"),
            locked(tmp_path, 8080),
        ):
            pass
        assert holder(tmp_path) == Holder(os.getpid(), 8080)
    assert holder(tmp_path) is None
    with locked(tmp_path, 8080):
        pass


def test_a_lock_ends_with_its_holder(tmp_path: Path) -> None:
    """A mesh that was killed does not keep the next one from starting."""
    code = (
        "import sys, os; from pathlib import Path; from deploy.local.lock import locked\n"
        "with locked(Path(sys.argv[1]), 8080): print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyRunning), locked(tmp_path, 8080):
            pass
        other.kill()
        other.wait()
        with locked(tmp_path, 8080):
            pass


def test_who_listens_is_found() -> None:
    """A listening socket is found with its process; memory of a process is more than nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert owner(listeners()[server.getsockname()[1]]) == os.getpid()
    assert resident_bytes(os.getpid()) > 1_000_000


def test_a_mesh_that_still_stops_is_waited_for(tmp_path: Path) -> None:
    """After `maas up` was killed its supervisor stops everything; the next mesh begins when that has ended."""
    with subprocess.Popen(["bash", "-c", "exec -a supervisord sleep 1"]) as supervisor:
        with locked(tmp_path, 8080) as lock:
            lock.write(Holder(1, 8080, supervisor.pid))
            left = (tmp_path / "lock").read_bytes()
        (tmp_path / "lock").write_bytes(left)
        with locked(tmp_path, 8080):
            assert not is_alive(supervisor.pid)
