"""Settings of the vision service: VISION_* in the environment."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from services.mesh.settings import PreprocessingClientSettings, ServiceSettings, TritonSettings
from services.vision.pipelines.faces.gallery.crypto import parse_keys


class Settings(ServiceSettings, TritonSettings, PreprocessingClientSettings):
    """What vision needs to know."""

    model_config = SettingsConfigDict(env_prefix="VISION_", frozen=True, extra="ignore")

    longest_call_seconds: float = Field(3630.0, gt=0, description="calls may run so long; videos last up to an hour")
    gallery_url: SecretStr = Field(
        SecretStr(""),
        description="database of the gallery of faces, sqlite:///path or postgresql://...; empty for no gallery",
    )
    gallery_key: SecretStr = Field(
        SecretStr(""),
        description="base64 of the 32 bytes that the gallery is encrypted with; several with commas between: the first "
        "encrypts, all decrypt",
    )
    gallery_key_file: Path | None = Field(None, description="a file with the same, instead")
    gallery_max_faces: int = Field(100_000, gt=0, description="that a tenant may have")
    gallery_max_faces_in_memory: int = Field(
        1_000_000, gt=0, description="of all tenants; those asked least recently are loaded again when they are asked"
    )
    gallery_threads: int = Field(2, gt=0, description="for searching and decrypting")

    @property
    def gallery_keys(self) -> tuple[bytes, ...]:
        """The keys, that which encrypts first. Raises ValueError, which never shows a key."""
        text = self.gallery_key.get_secret_value()
        return parse_keys(text or (self.gallery_key_file.read_text("ascii") if self.gallery_key_file else ""))

    @model_validator(mode="after")
    def _gallery_has_a_key(self) -> Self:
        if self.gallery_url.get_secret_value():
            if not self.gallery_key.get_secret_value() and not self.gallery_key_file:
                raise ValueError("VISION_GALLERY_KEY or VISION_GALLERY_KEY_FILE is missing: the gallery is encrypted")
            if self.gallery_key_file and not self.gallery_key_file.is_file():
                raise ValueError("VISION_GALLERY_KEY_FILE names no file")
            _ = self.gallery_keys
        return self
