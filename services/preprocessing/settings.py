"""Settings of the preprocessing service: PREPROCESSING_* in the environment."""

import os
from pathlib import Path

from pydantic import DirectoryPath, Field
from pydantic_settings import SettingsConfigDict

from services.mesh.settings import MEBIBYTE, ServiceSettings


class Settings(ServiceSettings):
    """What preprocessing needs to know."""

    model_config = SettingsConfigDict(env_prefix="PREPROCESSING_", frozen=True, extra="ignore")

    assets_directory: DirectoryPath = Field(
        description="holds tokenizers/<name>.json, as Hugging Face's tokenizers save them; `make models` fills it"
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

    @property
    def tokenizers_directory(self) -> Path:
        """Where the tokenizers lie."""
        return self.assets_directory / "tokenizers"
