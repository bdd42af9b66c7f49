"""Settings of the router: ROUTER_* in the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from services.mesh.settings import MEBIBYTE, ServiceSettings


class Settings(ServiceSettings):
    """What the router needs to know."""

    model_config = SettingsConfigDict(env_prefix="ROUTER_", frozen=True, extra="ignore")

    preprocessing_address: str = Field(description="host:port, or dns:///name:port, of preprocessing")
    nlp_address: str = Field(description="host:port, or dns:///name:port, of nlp")
    vision_address: str = Field(description="host:port, or dns:///name:port, of vision")
    speech_address: str = Field(description="host:port, or dns:///name:port, of speech")
    models_address: str = Field(
        "", description="host:port, or dns:///name:port, of models, whose health and contract are told here as well"
    )
    graphs_directory: Path = Field(
        Path(__file__).parent / "graphs", description="folder of the graphs that RunGraph knows, one YAML file each"
    )
    store_url: SecretStr = Field(
        SecretStr(""),
        description="sqlite:///path or postgresql://user:password@host/name: keeps graphs and traffic policies "
        "for all replicas; empty: the graphs of the folder are all there are",
    )
    cache_bytes: int = Field(64 * MEBIBYTE, ge=0, description="answers of nodes with a cache, for as long as they fit")
    stream_idle_seconds: float = Field(
        600.0, gt=0, description="a stream whose sender is silent for so long is given up; a speaker may pause"
    )
    capabilities_timeout_seconds: float = Field(
        2.0, gt=0, description="how long ListCapabilities waits for a service before it says that it did not answer"
    )
