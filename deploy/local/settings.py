"""Settings of a mesh on one machine, from the environment: MAAS_PORT and so on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from deploy import drain
from deploy.local.ports import BLOCK, Ports

REPOSITORY = Path(__file__).resolve().parents[2]


class LocalSettings(BaseSettings):
    """Where a mesh on one machine listens and keeps its files."""

    model_config = SettingsConfigDict(env_prefix="MAAS_", frozen=True, extra="ignore")

    port: int = Field(8080, gt=0, le=65536 - BLOCK, description="of the gateway; the others follow it")
    build_directory: Path = Field(REPOSITORY / ".build", description="what `make` built: models, descriptors, the UI")
    run_directory: Path | None = Field(None, description="logs and process ids; by default one a port, run/PORT")
    preprocessing: Literal["remote", "in-process"] = Field(
        "remote",
        description="where nlp, vision and speech have their input opened: by the preprocessing service, so that files "
        "of strangers are decoded in a process of their own, or in their own processes, which saves a hop a call",
    )
    traces: bool = Field(default=False, description="whether to record traces and start the tracing UI")
    start_seconds: float = Field(180.0, gt=0, description="the mesh must be ready within that time")
    drain_seconds: float = Field(20.0, gt=0, description="calls in flight may finish for so long when the mesh stops")

    @property
    def ports(self) -> Ports:
        """The port of each process."""
        return Ports.from_base(self.port)

    @property
    def times(self) -> drain.Times:
        """From which the times of stopping follow."""
        return drain.local(self.drain_seconds)

    @property
    def run(self) -> Path:
        """The absolute run directory. Each port has its own, so that several meshes can run side by side."""
        return (self.run_directory or self.build_directory / "run" / str(self.port)).absolute()

    @property
    def build(self) -> Path:
        """The absolute build directory."""
        return self.build_directory.absolute()

    @property
    def logs(self) -> Path:
        """One file a process."""
        return self.run / "logs"

    def log_level_file(self, service: str) -> Path:
        """Where the level of a service's log may be written while it runs; `maas logs level` does."""
        return self.run / "log-levels" / service


def settings_for(port: int | None, *, traces: bool = False) -> LocalSettings:
    """The settings of the environment, with what the command line says instead."""
    settings = LocalSettings()
    return settings.model_copy(update={"port": port or settings.port, "traces": traces or settings.traces})
