"""Real pictures and recordings, made by Pillow and FFmpeg for each test."""

import io

import av
import numpy as np
import pytest
from PIL import Image

MUXERS = {"wav": "wav", "flac": "flac", "ogg": "ogg", "mp3": "mp3", "aac": "adts", "mp4": "ipod"}


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

    def make(hertz: float, *, rate: int = 16_000, seconds: float = 1.0, amplitude: float = 0.5) -> np.ndarray:
        return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)

    return make


@pytest.fixture
def recorded():
    """A function: float32[channels, T] -> the bytes of a recording."""

    def record(channels: np.ndarray, *, rate: int, container: str = "wav", codec: str = "pcm_s16le", layout="mono"):
        file = io.BytesIO()
        with av.open(file, "w", format=MUXERS[container]) as output:
            # FFmpeg calls its own Vorbis encoder an experiment.
            stream = output.add_stream(codec, rate=rate, layout=layout, options={"strict": "experimental"})
            context = stream.codec_context
            frame = av.AudioFrame.from_ndarray(np.atleast_2d(channels), format="fltp", layout=layout)
            frame.sample_rate = rate
            resampler = av.AudioResampler(context.format.name, layout, rate, frame_size=context.frame_size or 1024)
            for piece in resampler.resample(frame) + resampler.resample(None):
                output.mux(stream.encode(piece))
            output.mux(stream.encode(None))
        return file.getvalue()

    return record
