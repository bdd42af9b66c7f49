"""Settings of the preprocessing service: PREPROCESSING_* in the environment."""

from pydantic import DirectoryPath, Field
from pydantic_settings import SettingsConfigDict

from services.mesh.settings import PreprocessingSettings, ServiceSettings, TritonSettings


class Settings(ServiceSettings, TritonSettings, PreprocessingSettings):
    """What preprocessing needs to know."""

    model_config = SettingsConfigDict(env_prefix="PREPROCESSING_", frozen=True, extra="ignore")

    longest_call_seconds: float = Field(3630.0, gt=0, description="calls may run so long; streams last up to an hour")
    stream_idle_seconds: float = Field(
        3630.0,
        gt=0,
        description="a stream whose sender is silent for so long is given up; its senders, services most of "
        "them, give up sooner by rules of their own",
    )
    assets_directory: DirectoryPath = Field(description="holds tokenizers/<name>.json; always needed here")
