"""Settings of the vision service: VISION_* in the environment."""

from pydantic_settings import SettingsConfigDict

from services.mesh.settings import PreprocessingClientSettings, ServiceSettings, TritonSettings


class Settings(ServiceSettings, TritonSettings, PreprocessingClientSettings):
    """What vision needs to know."""

    model_config = SettingsConfigDict(env_prefix="VISION_", frozen=True, extra="ignore")
