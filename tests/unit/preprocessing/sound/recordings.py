"""Recordings that tests make."""

import io

import av
import numpy as np

MUXERS = {"wav": "wav", "flac": "flac", "ogg": "ogg", "mp3": "mp3", "aac": "adts", "mp4": "ipod", "webm": "webm"}


def sine(hertz: float, *, rate: int = 16_000, seconds: float = 1.0, amplitude: float = 0.5) -> np.ndarray:
    """float32[T] of a tone."""
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def recorded(channels: np.ndarray, *, rate: int, container: str = "wav", codec: str = "pcm_s16le", layout="mono"):
    """The bytes of a recording of float32[channels, T]."""
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
