"""Real pictures and recordings, made by Pillow and FFmpeg for each test."""

import io

import pytest
from PIL import Image

from tests.unit.preprocessing.sound import recordings


@pytest.fixture
def saved():
    """A function: a Pillow picture -> its bytes in a format."""

    def save(image: Image.Image, image_format: str, **options) -> bytes:
        file = io.BytesIO()
        image.save(file, image_format, **options)
        return file.getvalue()

    return save


@pytest.fixture
def sine():
    """A function: float32[T] of a tone."""
    return recordings.sine


@pytest.fixture
def recorded():
    """A function: float32[channels, T] -> the bytes of a recording."""
    return recordings.recorded
