"""Runs an image as a pod would, without a container engine: its own processes and mounts, and nothing that it may do.

The user is the image's, the root cannot be written to, capabilities and new privileges are gone; the network is this
machine's. Needs root, buildah and util-linux.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

# /dev/shm, /tmp and the volumes are what can be written to, as in deploy/k8s. $1: root, $2: volumes, then the command.
_SCRIPT = """
root=$1; volumes=$2; shift 2
mount --bind "$root" "$root"; mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"; mount --rbind /dev "$root/dev"
mount -t tmpfs -o size=3g,mode=1777 tmpfs "$root/dev/shm"; mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
for volume in $volumes; do mount --bind "${volume%%:*}" "$root${volume##*:}"; done
exec env -i "$@"
"""
_NOTHING = ("--clear-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all")


def buildah(*arguments: str) -> str:
    """Run buildah and return what it says."""
    return subprocess.run(["buildah", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def configuration(image: str) -> dict[str, Any]:
    """The image's user, environment, entry point and labels."""
    config: dict[str, Any] = json.loads(buildah("inspect", "--type", "image", image))["OCIv1"]["config"]
    return config


class Rootfs:
    """The image's files, mounted; a context manager."""

    def __init__(self, image: str) -> None:
        self._image = image

    def __enter__(self) -> Path:
        self._container = buildah("from", "--pull-never", self._image)
        return Path(buildah("mount", self._container))

    def __exit__(self, *_: object) -> None:
        buildah("rm", self._container)


class Container:
    """One run of an image; a context manager, which kills what still runs at its end."""

    def __init__(
        self, image: str, log: Path, environment: Mapping[str, str], volumes: Mapping[Path, str] | None = None
    ) -> None:
        """log: gets the output. volumes: directory here -> where it is mounted, writable."""
        self._image, self._log, self._environment = image, log, environment
        self._volumes = " ".join(f"{here}:{there}" for here, there in (volumes or {}).items())
        self._rootfs = Rootfs(image)

    def __enter__(self) -> Self:
        root = self._rootfs.__enter__()
        config = configuration(self._image)
        self._variables = [*config["Env"], *(f"{name}={value}" for name, value in self._environment.items())]
        user, group = config["User"].split(":")
        self._unprivileged = ["setpriv", f"--reuid={user}", f"--regid={group}", *_NOTHING]
        command = [
            *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
            *("sh", "-euc", _SCRIPT, "sh", str(root), self._volumes, *self._variables),
            *("chroot", str(root), *self._unprivileged),
            *config["Entrypoint"],
            *config.get("Cmd", []),
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._rootfs.__exit__()

    def said(self) -> str:
        """Its output until now."""
        return self._log.read_text(errors="replace")

    def stop(self, seconds: float) -> tuple[int, float]:
        """Send SIGTERM to the container's first process; its exit code, and how long it took in seconds."""
        began = time.monotonic()
        os.kill(self.first_process(), signal.SIGTERM)
        return self._process.wait(seconds), time.monotonic() - began

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as `kubectl exec` and an exec probe would."""
        entered = ["nsenter", f"--target={self.first_process()}", "--mount", "--pid", "--root", "--wd"]
        command = (*entered, "env", "-i", *self._variables, *self._unprivileged, *command)
        return subprocess.run(command, check=False, capture_output=True, text=True)

    def first_process(self) -> int:
        """The process id, here, of what is process 1 there."""
        pid = self._process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on now."""
    with ExitStack() as open_sockets:
        probes = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def flags() -> tuple[str, ...]:
    """What the build command needs on this machine, from MAAS_BUILD_FLAGS: a secret with pip's settings, volumes."""
    return tuple(shlex.split(os.environ.get("MAAS_BUILD_FLAGS", "")))
