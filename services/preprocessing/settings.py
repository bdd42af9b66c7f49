"""Settings of the preprocessing service: PREPROCESSING_* in the environment."""

from pydantic import DirectoryPath, Field
from pydantic_settings import SettingsConfigDict

from services.mesh.settings import PreprocessingSettings, ServiceSettings, TritonSettings


class Settings(ServiceSettings, TritonSettings, PreprocessingSettings):
    """What preprocessing needs to know."""

    model_config = SettingsConfigDict(env_prefix="PREPROCESSING_", frozen=True, extra="ignore")

    assets_directory: DirectoryPath = Field(description="holds tokenizers/<name>.json; always needed here")
