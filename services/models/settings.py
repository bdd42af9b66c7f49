"""Settings of the service of models: MODELS_* in the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, FilePath, model_validator
from pydantic_settings import SettingsConfigDict

from services.mesh.settings import ServiceSettings


class Settings(ServiceSettings):
    """What the service of models needs to know."""

    model_config = SettingsConfigDict(env_prefix="MODELS_", frozen=True, extra="ignore")

    triton_address: str = Field(
        description="host:port of Triton's gRPC endpoint, dns:///name:port for all replicas that a name resolves to, "
        "those that are loading included, or ipv4:host:port,host:port"
    )
    state: Literal["files", "config-maps"] = Field(
        description="where rollouts are kept: on one machine, or in a cluster"
    )
    state_directory: Path | None = Field(None, description="of the files")
    namespace: str = Field("", description="of the ConfigMaps; empty: that of the pod, or of the kubeconfig's context")
    kubeconfig: FilePath | None = Field(
        None, description="how to reach the API server from outside of its cluster; empty: as a pod does"
    )
    load_seconds: float = Field(900.0, gt=0, description="the longest that a model may take to load on one replica")

    @model_validator(mode="after")
    def _has_directory_for_files(self) -> Self:
        if self.state == "files" and self.state_directory is None:
            raise ValueError("MODELS_STATE_DIRECTORY is missing: with MODELS_STATE=files it is where they lie")
        return self
