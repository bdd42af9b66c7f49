"""Runs a service: telemetry, server, health, reflection, and an orderly end."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import grpc.aio
import structlog
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from pydantic import ValidationError

from services.mesh import instruments, interceptors, logs, telemetry, tracing
from services.mesh.access import access_log
from services.mesh.background import background
from services.mesh.call import Context
from services.mesh.deadline import Deadline
from services.mesh.draining import Draining
from services.mesh.reflection import add_reflection
from services.mesh.settings import ServiceSettings

log = structlog.get_logger()

# As a name in grpc.health.v1: the process answers, whatever it stands on. A restart helps who is not alive; it helps
# nobody who only waits for Triton or another service, of which the other names tell.
LIVENESS = "liveness"
# So long clients that watch are told before the end that it comes.
_WATCH_SECONDS = 0.05
# How often a service asks itself whether it is ready.
_READY_SECONDS = 0.25


@dataclass(frozen=True)
class Servicer:
    """One gRPC service of a process.

    name: its full name, "maas.nlp.v1.NlpService".
    add: the generated add_...Servicer_to_server; None for a service that another process answers, of which this one
        tells the health and the contract only.
    ready: whether it can answer now; its health status follows.
    drain: told when the server stops taking calls, so that streams which would outlast it end themselves in good order.
    """

    name: str
    add: Callable[[Any, grpc.aio.Server], None] | None = None
    implementation: object = None
    ready: Callable[[], bool] = lambda: True
    drain: Callable[[], None] = lambda: None


App = Callable[[Any], AbstractAsyncContextManager[Sequence[Servicer]]]


def budget(context: Context, default_seconds: float = 60.0) -> Deadline:
    """The deadline of a call. The gateway sets one for every call; a direct caller may have set none."""
    remaining = context.time_remaining()
    return Deadline.after(default_seconds if remaining is None else remaining)


class AddressTaken(Exception):
    """Another process listens there already."""


@asynccontextmanager
async def serving(servicers: Sequence[Servicer], settings: ServiceSettings) -> AsyncIterator[int]:
    """A server that answers inside the block and drains at its end: unready first, then finish, then stop.

    Its times are derived in deploy/drain.py. Gives the port it listens on. Raises AddressTaken.
    """
    draining = Draining()
    server = grpc.aio.server(
        interceptors=[
            interceptors.Interceptor(
                (
                    tracing.tracing(
                        settings.first_spans_of_a_call, settings.then_one_span_in, settings.most_spans_of_a_call
                    ),
                    tracing.timed,
                    access_log(),
                    interceptors.errors_to_status(
                        settings.default_deadline_seconds, settings.longest_call_seconds, draining
                    ),
                ),
                settings.stream_idle_seconds,
            )
        ],
        maximum_concurrent_rpcs=settings.max_concurrent_calls,
        options=[
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", settings.max_message_bytes),
            ("grpc.max_connection_age_ms", round(settings.max_connection_age_seconds * 1000)),
            ("grpc.max_connection_age_grace_ms", round(settings.longest_call_seconds * 1000)),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            # Two processes on one port must be a mistake that is seen at start.
            ("grpc.so_reuseport", 0),
        ],
    )
    health_servicer = _Health()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    for servicer in servicers:
        if servicer.add is not None:
            servicer.add(servicer.implementation, server)
    add_reflection([*(servicer.name for servicer in servicers), health.SERVICE_NAME], server)
    # Until readiness is known, the health servicer would say SERVING for "".
    await health_servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    await health_servicer.set(LIVENESS, health_pb2.HealthCheckResponse.SERVING)
    try:
        port = server.add_insecure_port(settings.listen_address)
    except RuntimeError:
        raise AddressTaken(settings.listen_address) from None
    await server.start()
    watcher = asyncio.create_task(_follow_readiness(servicers, health_servicer))
    try:
        yield port
    finally:
        watcher.cancel()
        health_servicer.leaving = True
        # Who has not heard of it yet still calls, and is answered.
        await asyncio.sleep(settings.notice_seconds)
        await health_servicer.enter_graceful_shutdown()
        await asyncio.sleep(min(_WATCH_SECONDS, settings.notice_seconds))
        for servicer in servicers:
            servicer.drain()
        draining.begin(settings.drain_seconds)
        await server.stop(settings.drain_seconds)


class _Health(health.aio.HealthServicer):
    """grpc.health.v1, which tells those first that the server will stop who have to ask for it (Check).

    gRPC clients, which watch, call a server that serves no more not even when they know no other, and ask their name
    server for another one only when the connection ends. They are told just before that.
    """

    leaving = False

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        """Whether a service can be called."""
        found: health_pb2.HealthCheckResponse = await super().Check(request, context)
        if self.leaving and request.service != LIVENESS:
            return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.NOT_SERVING)
        return found


async def _follow_readiness(servicers: Sequence[Servicer], health_servicer: health.aio.HealthServicer) -> None:
    """Keep grpc.health.v1 in step: each service by its own readiness, "" when all are ready."""
    told: dict[str, bool] = {}
    while True:
        ready = {servicer.name: servicer.ready() for servicer in servicers}
        ready[""] = all(ready.values())
        for name, is_ready in ready.items():
            if told.get(name) != is_ready:
                serving_status = health_pb2.HealthCheckResponse.SERVING
                status = serving_status if is_ready else health_pb2.HealthCheckResponse.NOT_SERVING
                await health_servicer.set(name, status)
        told = ready
        due = time.perf_counter() + _READY_SECONDS
        await asyncio.sleep(_READY_SECONDS)
        instruments.LOOP_LAG.record(max(0.0, time.perf_counter() - due))


def run(service: str, app: App, settings_class: type[ServiceSettings]) -> None:
    """Run a service, with settings from the environment, until SIGTERM or SIGINT; a second signal ends it at once.

    Raises SystemExit, with a sentence, when it cannot start.
    """
    settings = _settings(service, settings_class)
    try:
        started = telemetry.start(service, settings)
    except OSError as error:
        raise SystemExit(f"{service}: cannot serve metrics on {settings.metrics_address}: {error.strerror}") from None
    try:
        uvloop.run(_run(service, app, settings))
    except AddressTaken as error:
        raise SystemExit(f"{service}: cannot listen on {error}; another process does already") from None
    finally:
        started.shutdown()


def _settings(service: str, settings_class: type[ServiceSettings]) -> ServiceSettings:
    try:
        return settings_class()
    except ValidationError as error:
        prefix = settings_class.model_config["env_prefix"]
        wrong = [
            f"{prefix}{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}" if each["loc"] else each["msg"]
            for each in error.errors(include_url=False, include_input=False)
        ]
        raise SystemExit(f"{service}: the settings in the environment are wrong\n  " + "\n  ".join(wrong)) from None


async def _run(service: str, app: App, settings: ServiceSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        loop.remove_signal_handler(number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    file = settings.log_level_file
    level = background(logs.follow_level(file, settings.log_level)) if file else nullcontext()
    async with level, app(settings) as servicers, serving(servicers, settings):
        log.debug("settings", **settings.model_dump(mode="json"))
        log.info("serving", address=settings.listen_address, services=[servicer.name for servicer in servicers])
        await stop.wait()
        log.info("draining", notice_seconds=settings.notice_seconds, seconds=settings.drain_seconds)
    log.info("stopped", name=service)
