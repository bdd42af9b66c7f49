"""Settings of the router: ROUTER_* in the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.mesh.settings import ServiceSettings


class Settings(ServiceSettings):
    """What the router needs to know."""

    model_config = SettingsConfigDict(env_prefix="ROUTER_", frozen=True, extra="ignore")

    preprocessing_address: str = Field(description="host:port, or dns:///name:port, of preprocessing")
    nlp_address: str = Field(description="host:port, or dns:///name:port, of nlp")
    vision_address: str = Field(description="host:port, or dns:///name:port, of vision")
    speech_address: str = Field(description="host:port, or dns:///name:port, of speech")
    graphs_directory: Path = Field(
        Path(__file__).parent / "graphs", description="folder of the graphs that RunGraph knows, one YAML file each"
    )
    capabilities_timeout_seconds: float = Field(
        2.0, gt=0, description="how long ListCapabilities waits for a service before it says that it did not answer"
    )
