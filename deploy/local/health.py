"""Whether each process of a mesh can do its work, asked of the process itself."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import grpc
from grpc_health.v1 import health_pb2

from deploy.local.ports import Ports, address
from deploy.local.processes import SERVICES, TWIN
from deploy.local.settings import LocalSettings

_TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True)
class Health:
    """What a process says of itself.

    ready: whether it can do its work.
    words: for people, for example "serving" or "3 of 7 models loaded".
    """

    ready: bool
    words: str


class Probe:
    """Asks processes of one mesh; keeps its connections, so that asking often is cheap."""

    def __init__(self, settings: LocalSettings) -> None:
        self._ports = {"": settings.ports, TWIN: settings.ports.twins()}
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="probe")
        options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
        self._channels = {
            name + suffix: grpc.insecure_channel(address(getattr(ports, name)), options=options)
            for suffix, ports in self._ports.items()
            for name in SERVICES
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
        for channel in self._channels.values():
            channel.close()

    def ask(self, names: Sequence[str]) -> dict[str, Health]:
        """The health of each process, all asked at once.

        A service counts as ready when callers can reach it: when it says so and the gateway found it so as well. A
        process whose twin is ready is so too, if both are named.
        """
        found = dict(zip(names, self._pool.map(self._ask, names), strict=True))
        # Only now, so that it does not tell of a process that has died since.
        reached = self.reached_by("gateway")
        if reached is None:
            reached = self.reached_by("gateway" + TWIN)
        if reached is None:
            if "gateway" in found and found["gateway"].ready:
                found["gateway"] = Health(ready=False, words="silent")
            return found
        for name in self._channels.keys() & found.keys():
            if found[name].ready and (name.removesuffix(TWIN), self._port(name)) not in reached:
                found[name] = Health(ready=False, words="not yet known to the gateway")
        for name, health in found.items():
            twin = found.get(name + TWIN)
            if not health.ready and twin and twin.ready:
                found[name] = Health(ready=True, words="its twin serves")
        return found

    def reached_by(self, gateway: str) -> set[tuple[str, int]] | None:
        """Name and port of the services that are well by the gateway's health checks; None when it does not answer.

        gateway: itself or its twin.
        """
        url = f"http://{address(self._of(gateway).gateway_admin)}/clusters?format=json"
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:
                clusters = json.load(answer)["cluster_statuses"]
        except (OSError, ValueError):
            return None
        return {
            (cluster["name"], host["address"]["socket_address"]["port_value"])
            for cluster in clusters
            if cluster["name"] in SERVICES
            for host in cluster.get("host_statuses", ())
            # What has failed, and whether it was asked yet, stands beside this one.
            if host["health_status"] == {"eds_health_status": "HEALTHY"}
        }

    def _of(self, name: str) -> Ports:
        return self._ports[TWIN if name.endswith(TWIN) else ""]

    def _port(self, name: str) -> int:
        return int(getattr(self._of(name), name.removesuffix(TWIN)))

    def _ask(self, name: str) -> Health:
        ports = self._of(name)
        kind = name.removesuffix(TWIN)
        if kind == "triton":
            return self._triton(ports)
        if kind == "gateway":
            return self._http(f"http://{address(ports.gateway_admin)}/ready")
        if kind == "tracing-ui":
            return self._http(f"http://{address(ports.tracing_http)}/healthz")
        if kind == "prometheus":
            return self._http(f"http://{address(ports.prometheus)}/-/ready")
        return self._service(name)

    def _service(self, name: str) -> Health:
        check = self._channels[name].unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        service, _ = SERVICES[name.removesuffix(TWIN)]
        try:
            answer = check(health_pb2.HealthCheckRequest(service=service), timeout=_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            return Health(ready=False, words="unreachable" if error.code() is grpc.StatusCode.UNAVAILABLE else "silent")
        if answer.status == health_pb2.HealthCheckResponse.SERVING:
            return Health(ready=True, words="serving")
        return Health(ready=False, words="not serving yet")

    def _triton(self, ports: Ports) -> Health:
        """Triton is there when it has loaded every model of its repository."""
        url = f"http://{address(ports.triton_http)}/v2/repository/index"
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url, data=b"{}", method="POST"), timeout=_TIMEOUT_SECONDS
            ) as answer:
                models = json.load(answer)
        except (OSError, ValueError):
            return Health(ready=False, words="unreachable")
        # After a rollout a model has a version that is ready, and one that is not.
        names = {model["name"] for model in models}
        loaded = len({model["name"] for model in models if model.get("state") == "READY"})
        return Health(ready=bool(names) and loaded == len(names), words=f"{loaded} of {len(names)} models loaded")

    @staticmethod
    def _http(url: str) -> Health:
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS):  # noqa: S310 - our own http address
                return Health(ready=True, words="serving")
        except urllib.error.HTTPError:
            return Health(ready=False, words="not serving yet")
        except OSError:
            return Health(ready=False, words="unreachable")
