"""Settings of the nlp service: NLP_* in the environment."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.mesh.settings import MEBIBYTE, PreprocessingClientSettings, ServiceSettings, TritonSettings


class Settings(ServiceSettings, TritonSettings, PreprocessingClientSettings):
    """What nlp needs to know."""

    model_config = SettingsConfigDict(env_prefix="NLP_", frozen=True, extra="ignore")

    cache_bytes: int = Field(
        64 * MEBIBYTE, ge=0, description="memory for answers of models that always answer the same; 0 keeps none"
    )
    generations_at_once: int = Field(
        1,
        ge=1,
        description="texts of one call that a language model works on at the same time: on a CPU it writes no faster "
        "side by side, and each slot would read the same instructions; on a GPU take 4 or more",
    )
