"""Settings of the guard, from the environment: TRITON_GRPC_PORT and so on."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

HOST = "127.0.0.1"
MEBIBYTE = 1024 * 1024


class Settings(BaseSettings):
    """Where the embedded Triton lies and listens, and how patient the guard is with it."""

    model_config = SettingsConfigDict(env_prefix="TRITON_", frozen=True, protected_namespaces=())

    grpc_port: int = Field(gt=0, lt=65536)
    http_port: int = Field(gt=0, lt=65536)
    metrics_port: int = Field(gt=0, lt=65536)
    listen_host: str = Field(HOST, description="what Triton listens on; 0.0.0.0 in a container")
    server_directory: Path = Field(description="holds bin/tritonserver, backends and python_backend_stubs")
    model_repository: Path = Field(description="one folder a model, the canary among them")
    run_directory: Path = Field(description="the guard writes there, and only there")
    backends_directory: Path = Field(
        Path(__file__).resolve().parents[2] / "triton" / "backends", description="our own backends, one folder each"
    )

    canary_interval_seconds: float = Field(2.0, gt=0, description="rest between two canaries")
    canary_timeout_seconds: float = Field(3.0, gt=0, description="a canary unanswered for so long has failed")
    canary_failures: int = Field(3, gt=0, description="so many failures in a row mean that Triton is sick")
    process_interval_seconds: float = Field(0.25, gt=0, description="how often model processes are looked at")
    startup_seconds: float = Field(180.0, gt=0, description="from start to the first answered canary")
    load_seconds: float = Field(120.0, gt=0, description="one model may take so long to load")
    drain_seconds: int = Field(10, gt=0, description="calls in flight may finish for so long after SIGTERM")
    kill_seconds: float = Field(5.0, gt=0, description="what still runs so long after that is killed")

    backoff_first_seconds: float = Field(0.5, ge=0, description="wait before the first restart; doubles with each")
    backoff_longest_seconds: float = Field(30.0, ge=0, description="the longest wait before a restart")
    restart_window_seconds: float = Field(300.0, gt=0, description="restarts older than this are forgotten")
    restart_limit: int = Field(5, ge=0, description="with more restarts than this in the window the guard gives up")

    shared_memory_directory: Path = Field(Path("/dev/shm"), description="where model processes keep tensors")  # noqa: S108 - it is the place
    shared_memory_bytes_per_model: int = Field(64 * MEBIBYTE, gt=0, description="must be free there for each model")
    server_release: str = Field("24.10", description="release of the server in server_directory, as year.month")
    trace_config: tuple[str, ...] = Field((), description="passed on as --trace-config; 24.10 cannot bear any")

    @property
    def grpc_address(self) -> str:
        """host:port of Triton's gRPC endpoint, as the guard reaches it."""
        return f"{HOST}:{self.grpc_port}"

    @property
    def shared_memory_prefix(self) -> str:
        """With it begin the names of this Triton's files in shared memory, and of no other's: a port belongs to one."""
        return f"maas-triton-{self.grpc_port}-"
