"""supervisord with harmless processes: started, restarted, stopped in order, and never orphaned."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local import die_with_parent
from deploy.local.proc import is_alive
from deploy.local.processes import Process
from deploy.local.supervision import Supervisor, SupervisorGone


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Until the condition holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def sleeper(name: str, rank: int) -> Process:
    """A process that does nothing, and says so in its log."""
    return Process(name, ("sh", "-c", f"echo {name} sleeps; exec sleep 300"), rank, stop_seconds=5, port=0)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory whose path is longer than a socket's may be, with blanks and percent signs."""
    path = tmp_path / ("a long name, 100% legal " * 5)
    path.mkdir()
    return path


@pytest.fixture
def supervisor(run: Path) -> Iterator[Supervisor]:
    """One that runs two processes."""
    supervisor = Supervisor(run)
    supervisor.configure([sleeper("first", 10), sleeper("second", 20)])
    daemon = supervisor.start()

    def answers() -> bool:
        try:
            return all(state.pid for state in supervisor.states())
        except SupervisorGone:
            return False

    try:
        wait_for(answers)
        yield supervisor
    finally:
        daemon.terminate()
        daemon.wait(20)


def _pids(supervisor: Supervisor) -> dict[str, int]:
    return {state.name: state.pid for state in supervisor.states()}


def test_environment_and_log(run: Path) -> None:
    """A process gets its environment, whatever is in it, and its words go to its own log."""
    supervisor = Supervisor(run)
    environment = {"GREETING": "100% of 'it', with commas = and $signs", "EMPTY": ""}
    command = (
        sys.executable,
        "-c",
        "import os; print(os.environ['GREETING'], repr(os.environ['EMPTY']), flush=True); input()",
    )
    supervisor.configure([Process("speaker", command, 10, stop_seconds=5, port=0, environment=environment)])
    daemon = supervisor.start()
    try:
        wait_for(lambda: f"{environment['GREETING']} ''" in supervisor.log_end("speaker"))
    finally:
        daemon.terminate()
        daemon.wait(20)


def test_a_value_that_cannot_be_passed_on_is_refused(run: Path) -> None:
    """A quotation mark in a value fails with a sentence, instead of changing what follows it."""
    with pytest.raises(ValueError, match="without quotes"):
        Supervisor(run).configure([Process("p", ("true",), 1, 1, 0, {"NAME": 'a"b'})])


def test_a_killed_process_is_restarted_and_its_end_is_told(supervisor: Supervisor) -> None:
    """After SIGKILL there is a new process, and the log says how the old one ended."""
    before = _pids(supervisor)["first"]
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: _pids(supervisor)["first"] not in (0, before))
    assert supervisor.last_ending("first") == "terminated by SIGKILL"


def test_the_highest_rank_stops_first(supervisor: Supervisor) -> None:
    """At the end processes stop one rank after the other, and none is left."""
    pids = set(_pids(supervisor).values())
    supervisor.shut_down()

    def stopped() -> list[str]:
        lines = [line for line in supervisor.log_end("supervisord", 50) if "stopped:" in line]
        return [name for line in lines for name in ("first", "second") if name in line]

    wait_for(lambda: len(stopped()) == len(pids))
    assert stopped() == ["second", "first"]
    assert not any(is_alive(pid) for pid in pids)


def test_no_orphans_when_the_supervisor_is_killed(supervisor: Supervisor, run: Path) -> None:
    """The kernel ends what a killed supervisor leaves."""
    pids = set(_pids(supervisor).values())
    os.kill(int((run / "supervisord.pid").read_text()), signal.SIGKILL)
    wait_for(lambda: not any(is_alive(pid) for pid in pids))
    with pytest.raises(SupervisorGone):
        supervisor.states()


def test_the_chain_ends_with_its_first(run: Path) -> None:
    """When the process that started the supervisor is killed, the supervisor stops everything and ends."""
    code = (
        "import sys, time; from pathlib import Path; from deploy.local.supervision import Supervisor\n"
        "from deploy.local.processes import Process\n"
        "supervisor = Supervisor(Path(sys.argv[1]))\n"
        "supervisor.configure([Process('first', ('sleep', '300'), 10, 5, 0)])\n"
        "supervisor.start(); time.sleep(300)"
    )
    starter = subprocess.Popen([sys.executable, "-c", code, run])
    supervisor = Supervisor(run)

    def running() -> bool:
        try:
            return bool(_pids(supervisor)["first"])
        except SupervisorGone:
            return False

    wait_for(running)
    pids = {_pids(supervisor)["first"], int((run / "supervisord.pid").read_text())}
    starter.kill()
    starter.wait()
    wait_for(lambda: not any(is_alive(pid) for pid in pids))


def test_nothing_starts_for_a_parent_that_has_gone() -> None:
    """If the parent died before the tie was made, the command is not started."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", die_with_parent.__file__, "echo", "started"],
        env={**os.environ, die_with_parent.PARENT: "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "has gone" in done.stderr
    assert not done.stdout
