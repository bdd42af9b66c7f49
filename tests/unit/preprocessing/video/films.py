"""Small videos, made by FFmpeg for each test."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
FASTSTART = {"movflags": "faststart"}
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}


def corners(width: int = 64, height: int = 48) -> Picture:
    """A picture whose quarters are red, green, blue and white, from the top left to the bottom right."""
    picture = np.full((height, width, 3), 255, np.uint8)
    half_height, half_width = height // 2, width // 2
    picture[:half_height, :half_width] = (255, 0, 0)
    picture[:half_height, half_width:] = (0, 255, 0)
    picture[half_height:, :half_width] = (0, 0, 255)
    return picture


def plain(red: int, green: int, blue: int) -> Picture:
    """A picture of one colour."""
    return np.full((48, 64, 3), (red, green, blue), np.uint8)


def film(
    pictures: Sequence[Picture],
    *,
    codec: str = "libx264",
    container: str = "mp4",
    rate: int = 10,
    milliseconds: Sequence[int] | None = None,
    rotation: int = 0,
    mirrored: bool = False,
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
) -> bytes:
    """The file of a video.

    milliseconds: when each picture is shown, instead of a steady rate. options, muxer: of encoder and container.
    """
    pixels = {"mjpeg": "yuvj420p"}.get(codec, "yuv420p")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "film"
        with av.open(str(path), "w", format=container, options=muxer or {}) as output:
            stream = output.add_stream(codec, rate=rate, options=options or {})
            stream.height, stream.width = pictures[0].shape[:2]
            stream.pix_fmt = pixels
            if rotation or mirrored:
                stream.set_display_rotation(rotation, mirrored)
            if milliseconds is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
            for index, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
                if milliseconds is not None:
                    frame.pts, frame.time_base = milliseconds[index], Fraction(1, 1000)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        return path.read_bytes()


def pieces(content: bytes, size: int = 1000) -> Callable[[], AsyncIterator[bytes]]:
    """What gives a file in chunks."""

    async def chunks() -> AsyncIterator[bytes]:
        for begin in range(0, len(content), size):
            yield content[begin : begin + size]

    return chunks
