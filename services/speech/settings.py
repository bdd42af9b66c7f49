"""Settings of the speech service: SPEECH_* in the environment."""

import os

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.mesh.settings import PreprocessingClientSettings, ServiceSettings, TritonSettings


class Settings(ServiceSettings, TritonSettings, PreprocessingClientSettings):
    """What speech needs to know."""

    model_config = SettingsConfigDict(env_prefix="SPEECH_", frozen=True, extra="ignore")

    longest_call_seconds: float = Field(3630.0, gt=0, description="calls may run so long; streams last up to an hour")
    # Speakers think, and writers of texts do too.
    stream_idle_seconds: float = Field(
        600.0,
        gt=0,
        description="a stream whose sender is silent for so long is given up; below the gateway's own limit",
    )
    recognitions_at_once: int = Field(
        default_factory=lambda: len(os.sched_getaffinity(0)),
        gt=0,
        description="pieces of live speech that are being recognised at once; the instances of the recognition model",
    )
    max_live_streams: int = Field(
        64,
        gt=0,
        description="live streams at once, however fast the machine; those beyond it fail with RESOURCE_EXHAUSTED, as "
        "do those that it could not keep up with",
    )
