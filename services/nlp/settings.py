"""Settings of the nlp service: NLP_* in the environment."""

from pydantic_settings import SettingsConfigDict

from services.mesh.settings import PreprocessingClientSettings, ServiceSettings, TritonSettings


class Settings(ServiceSettings, TritonSettings, PreprocessingClientSettings):
    """What nlp needs to know."""

    model_config = SettingsConfigDict(env_prefix="NLP_", frozen=True, extra="ignore")
