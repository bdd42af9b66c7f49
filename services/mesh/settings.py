"""Settings that every service has. Read once, frozen, each with its unit.

A service derives its own with an `env_prefix`, so that NLP_LISTEN_ADDRESS is nlp's. Telemetry follows OpenTelemetry's
own variables (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER, ...), which operators know.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MEBIBYTE = 1024 * 1024


class ServiceSettings(BaseSettings):
    """What a gRPC server of the mesh needs to know."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    listen_address: str = Field(description="host:port to serve gRPC on")
    metrics_address: str = Field(description="host:port to serve Prometheus metrics on, under /metrics")
    default_deadline_seconds: float = Field(60.0, gt=0, description="for calls whose client set no deadline")
    drain_seconds: float = Field(
        20.0,
        gt=0,
        description="calls may finish for so long after SIGTERM; keep it below terminationGracePeriodSeconds",
    )
    max_message_bytes: int = Field(
        64 * MEBIBYTE, gt=0, description="largest message in or out; ten minutes of float32 sound at 16 kHz are 37 MiB"
    )
    max_concurrent_calls: int = Field(256, gt=0, description="calls beyond it fail with RESOURCE_EXHAUSTED")
    max_connection_age_seconds: float = Field(
        300.0, gt=0, description="then clients reconnect and so find new replicas"
    )
    log_format: Literal["json", "console"] = Field("json", description="one JSON object a line, or text for people")
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class TritonSettings(BaseSettings):
    """How a service reaches Triton."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    triton_address: str = Field(description="host:port, or dns:///name:port, of Triton's gRPC endpoint")
    triton_cancellation: bool = Field(
        False,
        description="whether our deadlines and cancellations may reach Triton's unary calls; 24.10 crashes on them "
        "(triton-inference-server/server#7368), newer servers bear them",
    )
    triton_execution_limit_seconds: float = Field(
        120.0, gt=0, description="how long a call may run in Triton after its caller has gone"
    )
    triton_max_inflight: int = Field(
        64,
        gt=0,
        description="calls to one model at once, abandoned ones included; those beyond it fail with RESOURCE_EXHAUSTED",
    )
    triton_poll_seconds: float = Field(2.0, gt=0, description="how often Triton is asked which models are ready")


class PreprocessingClientSettings(BaseSettings):
    """How a service reaches preprocessing."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    preprocessing_address: str = Field(description="host:port, or dns:///name:port, of preprocessing")
