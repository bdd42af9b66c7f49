"""The checks before the start: what each finds, and that its sentence says what to do."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import pytest

from deploy.local.triton import __main__, checks
from deploy.local.triton.settings import MEBIBYTE

STUB = Path("stubs/3.11/triton_python_backend_stub")


@pytest.mark.parametrize("version", ["2.0.0", "2.3.5", "3.0.0rc1"])
def test_numpy_that_corrupts(version):
    """Versions of numpy from 2 on are refused, with the command that installs another."""
    problem = checks.numpy_problem(version)
    assert problem
    assert version in problem
    assert "pip install 'numpy>=1.26.4,<2'" in problem


def test_numpy_missing():
    """Without numpy model processes cannot run."""
    assert "make install" in (checks.numpy_problem(None) or "")


def test_numpy_that_works():
    """The major version 1 of numpy is what this Triton was built for."""
    assert checks.numpy_problem("1.26.4") is None


def test_python_without_python3(tmp_path):
    """A prefix without bin/python3 would let model processes find another Python."""
    assert "venv" in (checks.python_problem(tmp_path) or "")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").touch()
    assert checks.python_problem(tmp_path) is None


def test_stub_for_other_pythons(tmp_path):
    """The sentence names the Pythons for which there is a model process."""
    (tmp_path / "3.12").mkdir()
    problem = checks.stub_problem(tmp_path / "3.14" / "triton_python_backend_stub")
    assert "Python 3.14 (it has some for 3.12)" in problem


def test_missing_libpython():
    """A Python without its shared library is named, with the package that has it on each system."""
    listing = "\tlibpython3.11.so.1.0 => not found\n\tlibc.so.6 => /lib/libc.so.6 (0x00007f)\n"
    problem = checks.missing_libraries(STUB, listing) or ""
    for remedy in ("apt install libpython3.11", "dnf install python3.11-libs", "--enable-shared"):
        assert remedy in problem


def test_missing_libraries():
    """Every other missing library is named."""
    listing = "\tlibssl.so.3 => not found\n\tlibz.so.1 => /lib/libz.so.1 (0x0)\n\tlibb64.so.0 => not found\n"
    assert "libssl.so.3, libb64.so.0" in (checks.missing_libraries(STUB, listing) or "")


def test_old_system():
    """A C library that is too old is named by the version it lacks, not as a missing file."""
    listing = "./stub: /lib/libc.so.6: version `GLIBC_2.35' not found (required by ./stub)\n"
    assert "needs GLIBC_2.35" in (checks.missing_libraries(STUB, listing) or "")


@pytest.mark.parametrize("listing", ["\tnot a dynamic executable\n", "ldd: cannot execute binary file\n"])
def test_other_machine(listing):
    """A program for another processor is refused."""
    assert "x86_64" in (checks.missing_libraries(STUB, listing) or "")


def test_no_ldd(monkeypatch):
    """Without ldd nothing can be known, so that is a problem too."""
    monkeypatch.setenv("PATH", "")
    assert "libc-bin" in (checks.missing_libraries(STUB, checks.linked_libraries(STUB)) or "")


def test_complete_program():
    """A program that finds all its libraries is no problem; asked of the real ldd."""
    program = Path(sys.executable)
    listing = checks.linked_libraries(program)
    assert "libc.so" in listing
    assert checks.missing_libraries(program, listing) is None


def test_repository_without_canary(tmp_path):
    """A model repository without the canary cannot be watched."""
    assert "make models" in (checks.repository_problem(tmp_path) or "")
    (tmp_path / "canary").mkdir()
    (tmp_path / "canary" / "config.pbtxt").touch()
    assert checks.repository_problem(tmp_path) is None


def test_little_shared_memory(make_settings):
    """Room is needed for each model; the sentence gives both sizes."""
    settings = make_settings(shared_memory_bytes_per_model=2**60)
    for model in ("canary", "another"):
        (settings.model_repository / model).mkdir(parents=True)
        (settings.model_repository / model / "config.pbtxt").touch()
    problem = checks.shared_memory_problem(settings) or ""
    assert f"2 models need {2**61 // MEBIBYTE} MiB" in problem
    assert "--shm-size" in problem


def test_enough_shared_memory(make_settings):
    """With room for each model there is no problem."""
    assert checks.shared_memory_problem(make_settings(shared_memory_bytes_per_model=1)) is None


def test_no_shared_memory(make_settings, tmp_path):
    """A machine without /dev/shm is told to mount one."""
    settings = make_settings(shared_memory_directory=tmp_path / "none")
    assert "mount a tmpfs" in (checks.shared_memory_problem(settings) or "")


def test_busy_port():
    """A port that somebody listens on is named together with the setting that chooses it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        problem = checks.port_problem("TRITON_GRPC_PORT", port, give_up=time.monotonic()) or ""
    assert f"Port {port}" in problem
    assert "set TRITON_GRPC_PORT" in problem


def test_free_port():
    """A port that nobody listens on is no problem, even just after somebody did."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert checks.port_problem("TRITON_GRPC_PORT", port, give_up=time.monotonic()) is None


@pytest.mark.parametrize(
    ("release", "trace", "refused"),
    [("24.10", ("mode=opentelemetry",), True), ("24.10", (), False), ("26.09", ("mode=opentelemetry",), False)],
)
def test_tracing(make_settings, release, trace, refused):
    """Triton's own tracing is refused for the embedded release and left to newer ones."""
    problem = checks.tracing_problem(make_settings(server_release=release, trace_config=trace))
    assert bool(problem) is refused


def test_all_problems_at_once(make_settings, monkeypatch, capsys):
    """All that is wrong is said at once, a sentence each, with the exit code that tells the supervisor not to retry."""
    settings = make_settings(trace_config=("mode=triton",), shared_memory_directory=Path("/nowhere"))
    monkeypatch.setattr(__main__, "Settings", lambda: settings)
    assert __main__.main() == os.EX_CONFIG
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("triton cannot start: ") for line in lines] == [True] * 4
    for word in ("no Triton server", "'canary'", "/nowhere", "TRITON_TRACE_CONFIG"):
        assert sum(word in line for line in lines) == 1
