"""Settings that every service has. Read once, frozen, each with its unit.

A service derives its own with an `env_prefix`, so that NLP_LISTEN_ADDRESS is nlp's. Telemetry follows OpenTelemetry's
own variables (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER, ...), which operators know.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import DirectoryPath, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MEBIBYTE = 1024 * 1024
# As preprocessing_address: a service opens its input itself.
IN_PROCESS = "in-process"


class ServiceSettings(BaseSettings):
    """What a gRPC server of the mesh needs to know."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    listen_address: str = Field(description="host:port to serve gRPC on")
    metrics_address: str = Field(description="host:port to serve Prometheus metrics on, under /metrics")
    default_deadline_seconds: float = Field(60.0, gt=0, description="for calls whose client set no deadline")
    notice_seconds: float = Field(
        0.0,
        ge=0,
        description="after SIGTERM it says NOT_SERVING and still answers new calls for so long, since callers learn it "
        "a little later",
    )
    drain_seconds: float = Field(20.0, gt=0, description="calls may finish for so long after that; see deploy/drain.py")
    max_message_bytes: int = Field(
        64 * MEBIBYTE, gt=0, description="largest message in or out; ten minutes of float32 sound at 16 kHz are 37 MiB"
    )
    max_concurrent_calls: int = Field(256, gt=0, description="calls beyond it fail with RESOURCE_EXHAUSTED")
    max_connection_age_seconds: float = Field(
        300.0, gt=0, description="then clients reconnect and so find new replicas"
    )
    longest_call_seconds: float = Field(
        330.0, gt=0, description="calls on such an old connection may run so long; above the gateway's longest limit"
    )
    first_spans_of_a_call: int = Field(
        64, ge=0, description="spans of utterances, frames, nodes and calls that one call makes, recorded without a gap"
    )
    then_one_span_in: int = Field(
        20, ge=0, description="of those after the first spans, one in so many is recorded; 0: none"
    )
    most_spans_of_a_call: int = Field(512, ge=0, description="such spans at most, with all that is below them")
    stream_idle_seconds: float = Field(
        60.0, gt=0, description="a stream whose sender is silent for so long is given up, so that others get its place"
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="one JSON object a line, or text for people; auto writes text on a terminal only"
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_level_file: Path | None = Field(
        None,
        description="a file with the level, read every two seconds; log_level counts while it is missing or empty",
    )


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
    triton_admission: bool = Field(
        True,
        description="whether a call that would be late by Triton's statistics is refused (RESOURCE_EXHAUSTED)",
    )
    triton_poll_seconds: float = Field(2.0, gt=0, description="how often Triton is asked which models are ready")
    drift_calls_per_second: float = Field(
        20.0, ge=0, description="calls of a model that are looked at for drift; those beyond it are not; 0 turns it off"
    )
    drift_items: int = Field(
        1000,
        ge=20,
        description="the first so many items are a model's reference, each later so many are compared with it",
    )
    drift_directory: Path | None = Field(
        None, description="keeps the references, a file a model version; without it they are forgotten with the process"
    )


class PreprocessingSettings(BaseSettings):
    """What a process needs to know in which strangers' input is opened."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    assets_directory: DirectoryPath | None = Field(
        None, description="holds tokenizers/<name>.json, as Hugging Face's tokenizers save them; `make models` fills it"
    )
    threads: int = Field(
        default_factory=lambda: len(os.sched_getaffinity(0)),
        gt=0,
        description="inputs decoded at once; the number of cores by default",
    )
    max_waiting: int = Field(
        64, ge=0, description="inputs that may wait for a thread; those beyond it fail with RESOURCE_EXHAUSTED"
    )
    max_memory_bytes: int = Field(
        4096 * MEBIBYTE, gt=0, description="of the whole process; what a decoder asks for beyond it is refused"
    )

    max_videos: int = Field(4, gt=0, description="videos decoded at once; those beyond it fail with RESOURCE_EXHAUSTED")
    max_audio_streams: int = Field(
        64, gt=0, description="streams of sound decoded at once; those beyond it fail with RESOURCE_EXHAUSTED"
    )
    max_spooled_bytes: int = Field(
        512 * MEBIBYTE, gt=0, description="on disk, of a video's file that must come whole before it can be decoded"
    )
    media_sources: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="prefixes, with commas between, below which pictures and recordings may be read by address: "
        "https://images.example.com/,s3://bucket/photos/; every caller may read what lies there",
    )
    media_private_networks: bool = Field(
        False, description="whether http and https addresses may lead to loopback, private and link-local networks"
    )
    media_seconds: float = Field(10.0, gt=0, description="the longest that reading one address may take")
    max_media_at_once: int = Field(8, gt=0, description="addresses read at once; others wait until their deadline")

    @field_validator("media_sources", mode="before")
    @classmethod
    def _between_commas(cls, value: object) -> object:
        return [each.strip() for each in value.split(",") if each.strip()] if isinstance(value, str) else value

    @property
    def tokenizers_directory(self) -> Path:
        """Where the tokenizers lie. Raises ValueError when the assets have no directory."""
        if self.assets_directory is None:
            raise ValueError(
                f"{self.model_config['env_prefix']}ASSETS_DIRECTORY is missing: preprocessing in this process needs "
                "the directory that `make models` fills"
            )
        return self.assets_directory / "tokenizers"


class PreprocessingClientSettings(PreprocessingSettings):
    """How a service reaches preprocessing; what it inherits counts when it does the work in its own process."""

    preprocessing_address: str = Field(
        description='host:port, or dns:///name:port, of preprocessing; or "in-process": the same code in this process'
    )

    @model_validator(mode="after")
    def _has_assets_in_process(self) -> Self:
        if self.preprocessing_address == IN_PROCESS:
            _ = self.tokenizers_directory
        return self
