"""Settings of the speech service: SPEECH_* in the environment."""

from pydantic_settings import SettingsConfigDict

from services.mesh.settings import PreprocessingClientSettings, ServiceSettings, TritonSettings


class Settings(ServiceSettings, TritonSettings, PreprocessingClientSettings):
    """What speech needs to know."""

    model_config = SettingsConfigDict(env_prefix="SPEECH_", frozen=True, extra="ignore")
