"""supervisord, which starts, watches and restarts the processes of a mesh; asked through its XML-RPC interface."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import jinja2
from supervisor.xmlrpc import SupervisorTransport

from deploy.local import die_with_parent
from deploy.local.processes import TWIN, Process
from deploy.local.settings import REPOSITORY

_SOCKET = "supervisor.sock"
_CONFIGURATION = "supervisord.conf"
# How supervisord words an ended process in its log; the interface itself does not tell which signal it was.
_ENDING = re.compile(r"(?P<why>exited|stopped): (?P<name>\S+) \((?P<how>[^;)]*)")


class SupervisorGone(Exception):
    """supervisord does not answer: it has ended or was never there."""


@dataclass(frozen=True)
class State:
    """A process as supervisord sees it.

    state: STARTING, RUNNING, BACKOFF (waits before the next attempt), FATAL (has given up), STOPPING, STOPPED, EXITED.
    pid: 0 when it does not run.
    """

    name: str
    state: str
    pid: int
    started: float

    @property
    def uptime_seconds(self) -> float:
        """How long it has been running."""
        return max(0.0, time.time() - self.started) if self.pid else 0.0


class Supervisor:
    """supervisord of one run directory."""

    def __init__(self, run: Path) -> None:
        self._run = run

    def configure(self, processes: Sequence[Process]) -> None:
        """Write its configuration."""
        (self._run / "logs").mkdir(parents=True, exist_ok=True)
        # How processes ended is read from it; what an earlier mesh did must not be taken for ours.
        self.log("supervisord").unlink(missing_ok=True)
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(Path(__file__).parent),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,  # noqa: S701 - not HTML; what goes in passes a filter
        )
        environment.filters |= {"plain": _plain, "quoted": _quoted}
        text = environment.get_template("supervisor.conf.j2").render(
            repository=REPOSITORY, socket=_SOCKET, processes=processes, launcher=_launcher
        )
        (self._run / _CONFIGURATION).write_text(text)

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, tied to this process: it stops everything and ends when this process dies.

        Call it from the main thread, because the kernel takes the end of the starting thread for that of the process.
        """
        # Its own session: a Ctrl-C in the terminal is for `maas up`, which then stops everything in order.
        return subprocess.Popen(
            shlex.split(_launcher((sys.executable, "-m", "supervisor.supervisord", "-c", _CONFIGURATION))),
            cwd=self._run,
            env={**os.environ, die_with_parent.PARENT: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(self._run / "logs" / "supervisord.err").open("wb"),
            start_new_session=True,
        )

    def states(self) -> list[State]:
        """Every process, twins only while they are asked for. Raises SupervisorGone."""
        with self._proxy() as proxy:
            return [
                State(info["name"], info["statename"], int(info["pid"]), float(info["start"]))
                for info in proxy.getAllProcessInfo()
                if info["statename"] != "STOPPED" or not info["name"].endswith(TWIN)
            ]

    def start_process(self, name: str) -> None:
        """Start a process that has ended. Raises SupervisorGone."""
        self._tell("startProcess", name)

    def stop_process(self, name: str) -> None:
        """Begin to stop a process: SIGTERM, and SIGKILL when its time is over. Raises SupervisorGone."""
        self._tell("stopProcess", name)

    def shut_down(self) -> None:
        """Begin to stop everything, the highest rank first. Raises SupervisorGone."""
        with self._proxy() as proxy:
            proxy.shutdown()

    def log(self, name: str) -> Path:
        """The log of a process."""
        return self._run / "logs" / f"{name}.log"

    def log_end(self, name: str, lines: int = 15) -> list[str]:
        """The last lines of a process's log."""
        try:
            with self.log(name).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 16_384))
                return file.read().decode(errors="replace").splitlines()[-lines:]
        except OSError:
            return []

    def last_ending(self, name: str) -> str:
        """How a process ended last, for example "terminated by SIGKILL" or "exit status 1"."""
        ending = self._last_ending(name)
        return ending["how"] if ending else "for an unknown reason"

    def was_stopped(self, name: str) -> bool:
        """Whether a process ended last because that was asked for."""
        ending = self._last_ending(name)
        return ending is not None and ending["why"] == "stopped"

    def _last_ending(self, name: str) -> re.Match[str] | None:
        lines = reversed(self.log_end("supervisord", 500))
        return next((match for line in lines if (match := _ENDING.search(line)) and match["name"] == name), None)

    def _tell(self, what: str, name: str) -> None:
        with self._proxy() as proxy:
            try:
                groups = {info["name"]: info["group"] for info in proxy.getAllProcessInfo()}
                getattr(proxy, what)(f"{groups[name]}:{name}", False)  # noqa: FBT003 - XML-RPC has no keywords; False: do not wait
            except xmlrpc.client.Fault:  # It is so already, or ended again at once, which its state will tell.
                return

    @contextmanager
    def _proxy(self) -> Iterator[Any]:
        # A socket's path has at most 107 bytes, so it is reached through an open directory.
        try:
            directory = os.open(self._run, os.O_PATH | os.O_DIRECTORY)
        except OSError as error:
            raise SupervisorGone(f"there is no run directory {self._run}") from error
        transport = SupervisorTransport(None, None, f"unix:///proc/self/fd/{directory}/{_SOCKET}")
        try:
            yield xmlrpc.client.ServerProxy("http://localhost", transport).supervisor
        except (OSError, HTTPException, xmlrpc.client.Error) as error:
            raise SupervisorGone(f"supervisord does not answer ({error})") from error
        finally:
            transport.close()
            os.close(directory)


def _launcher(command: Sequence[str]) -> str:
    return shlex.join([sys.executable, "-I", "-S", str(Path(die_with_parent.__file__)), *command])


def _plain(value: object) -> str:
    """A value as supervisord's configuration wants it. Raises ValueError for what it can't hold."""
    text = str(value)
    if "\n" in text or " ;" in text:
        raise ValueError(f"supervisord cannot be given {text!r}: move the repository to a path without semicolons")
    return text.replace("%", "%%")


def _quoted(value: object) -> str:
    """A value between quotation marks."""
    text = _plain(value)
    if '"' in text:
        raise ValueError(f"supervisord cannot be given {text!r}: move the repository to a path without quotes")
    return f'"{text}"'
