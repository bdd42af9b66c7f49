"""How Triton is started and ended, with a shell script in its place."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from deploy.local.triton import launch, tether
from deploy.local.triton.processes import STUB


def test_command(make_settings):
    """Triton listens on loopback only, loads every model by explicit control, and neither traces nor auto-completes."""
    settings = make_settings()
    command = launch.command(settings, Path("backends"))
    for option in (
        "--grpc-address=127.0.0.1",
        "--http-address=127.0.0.1",
        "--metrics-address=127.0.0.1",
        f"--grpc-port={settings.grpc_port}",
        "--model-control-mode=explicit",
        "--load-model=*",
        "--disable-auto-complete-config",
        f"--backend-config=python,shm-region-prefix-name=maas-triton-{settings.grpc_port}-",
    ):
        assert option in command
    assert not [option for option in command if "trace" in option]


def test_environment(monkeypatch):
    """Model processes find our Python first, its libraries, one thread each, and no PYTHONPATH."""
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PATH", "/usr/bin")
    environment = launch.environment()
    assert "PYTHONPATH" not in environment
    assert environment["PATH"] == f"{sys.prefix}/bin:/usr/bin"
    assert f"{sys.base_prefix}/lib" in environment["LD_LIBRARY_PATH"].split(":")
    assert environment["MAAS_PYTHON_PREFIX"] == sys.prefix
    assert environment["OMP_NUM_THREADS"] == "1"


def test_backends(make_settings, fake_server):
    """The Python backend is copied, its stub and our own backends are linked, and what an earlier run left is gone."""
    settings = make_settings()
    fake_server("")
    (settings.run_directory / "backends" / "leftover").mkdir(parents=True)
    (settings.backends_directory / "onnxruntime").mkdir(parents=True)
    directory = launch.prepare_backends(settings)
    assert sorted(path.name for path in directory.iterdir()) == ["onnxruntime", "python"]
    assert not (directory / "python" / "libtriton_python.so").is_symlink()
    assert (directory / "python" / STUB).resolve() == launch.stub_binary(settings)
    assert (directory / "onnxruntime").resolve() == settings.backends_directory / "onnxruntime"


def test_shared_memory_of_others(make_settings):
    """Only files of this Triton are removed, not those of one whose port begins with the same digits."""
    settings = make_settings(grpc_port=800)
    mine, other = (settings.shared_memory_directory / f"maas-triton-{port}-x" for port in (800, 8001))
    mine.touch()
    other.touch()
    launch.remove_leftovers(settings)
    assert not mine.exists()
    assert other.exists()


def test_orphans_of_a_killed_triton(make_settings, tmp_path):
    """A model process that a killed Triton left behind is killed, and one of another Triton lives on."""
    settings = make_settings(grpc_port=800)
    script = tmp_path / "wait.sh"
    script.write_text("read line\n")
    mine, other = (
        subprocess.Popen(
            [f"/backends/{STUB}", script, f"maas-triton-{port}-x", *["1", "1", "1", "d", "1", "m_0_0"]],
            executable="/bin/sh",
            stdin=subprocess.PIPE,
        )
        for port in (800, 8001)
    )
    try:
        launch.remove_leftovers(settings)
        assert mine.wait(10) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for process in (mine, other):
            process.kill()
            process.communicate()


async def test_polite_end(make_settings, fake_server):
    """SIGTERM lets Triton end by itself; what it left in shared memory is removed, before it starts and after."""
    settings = make_settings()
    fake_server("trap 'exit 3' TERM; while :; do sleep 0.01; done")
    leftover = settings.shared_memory_directory / f"{settings.shared_memory_prefix}x"
    leftover.touch()
    process = await launch.start(settings)
    assert not leftover.exists()
    leftover.touch()
    await until_script_runs(process.pid)
    await launch.end(process, settings, patience_seconds=10)
    assert process.returncode == 3
    assert not leftover.exists()


async def test_forced_end(make_settings, fake_server, tmp_path):
    """A Triton that ignores SIGTERM is killed, and its model processes with it."""
    settings = make_settings()
    child = tmp_path / "child"
    fake_server(f"trap '' TERM; sleep 60 & echo $! > {child}.new; mv {child}.new {child}; wait")
    process = await launch.start(settings)
    async with asyncio.timeout(10):
        while not child.exists():
            await asyncio.sleep(0.01)
        await launch.end(process, settings, patience_seconds=0.05)
        assert process.returncode == -signal.SIGKILL
        while command_line(int(child.read_text())):
            await asyncio.sleep(0.01)


async def test_group_of_its_own(make_settings, fake_server):
    """Triton is in a process group of its own, so that Ctrl-C in a terminal reaches the guard alone."""
    settings = make_settings()
    fake_server("sleep 60")
    process = await launch.start(settings)
    assert os.getpgid(process.pid) == process.pid != os.getpgid(0)
    await launch.end(process, settings, patience_seconds=1)


def test_dies_with_its_parent():
    """A tethered command is killed when the process that asked for it is."""
    # The parent tells the command's process id, then waits to be killed.
    script = (
        f"import os, subprocess, sys; tether = [sys.executable, {tether.__file__!r}, str(os.getpid())]; "
        "subprocess.run([*tether, '/bin/sh', '-c', 'echo $$; exec sleep 60'])"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    # The command holds the other end of the pipe: it closes when the command is gone.
    assert parent.stdout.read() == b""
    assert not command_line(pid)


def test_parent_already_gone():
    """A command whose parent died before the tie was made is not started."""
    result = subprocess.run(
        [sys.executable, tether.__file__, "1", "/bin/echo", "started"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stdout == ""
    assert "has gone" in result.stderr


def command_line(pid: int) -> str:
    """A process's command line, "" when there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


async def until_script_runs(pid: int) -> None:
    """Wait until the tether has become the script, and the script has set its trap: then it runs `sleep`."""
    async with asyncio.timeout(10):
        while not sleeps(pid):
            await asyncio.sleep(0.01)


def sleeps(pid: int) -> bool:
    """Whether the process has a child that runs `sleep`."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return any(command_line(int(child)).startswith("sleep") for child in children)
