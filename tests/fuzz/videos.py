"""Breaks small videos of each container in many ways, and decodes them as the preprocessing service does.

    python -m tests.fuzz.videos --minutes 3

See tests.fuzz.breaking for what counts as a failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from multiprocessing.connection import Connection

import numpy as np

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.ports import Region, Target, VideoEnd
from services.preprocessing.pipelines.video.extract import FrameExtractor
from tests.fuzz.breaking import PATIENCE_SECONDS, fuzz, limit_memory, memory_bytes
from tests.unit.preprocessing.video.films import FASTSTART, FRAGMENTED, corners, film

TARGETS = (Target(64, 64, "contain"), Target(32, 32, "stretch", region=Region(0.2, 0.2, 0.8, 0.9)))


def seeds() -> list[bytes]:
    """One sound video of each kind."""
    noise = np.random.default_rng(3).integers(0, 255, (48, 64, 3), np.uint8)
    pictures = [corners(), noise] * 6
    made = [
        ("libx264", "mp4", FASTSTART),
        ("libx264", "mp4", FRAGMENTED),
        ("libx264", "mp4", None),
        ("libx264", "mov", None),
        ("libx264", "matroska", None),
        ("libx264", "mpegts", None),
        ("libx265", "matroska", None),
        ("libx265", "mp4", FASTSTART),
        ("libvpx", "webm", None),
        ("libvpx-vp9", "webm", None),
        ("libsvtav1", "mp4", FASTSTART),
        ("libsvtav1", "webm", None),
        ("mpeg4", "avi", None),
        ("mpeg4", "mp4", FASTSTART),
        ("msmpeg4", "avi", None),
        ("mjpeg", "avi", None),
        ("mjpeg", "mov", None),
        ("mpeg2video", "mpegts", None),
    ]
    return [film(pictures, codec=codec, container=container, muxer=muxer, rate=25) for codec, container, muxer in made]


async def decode(extractor: FrameExtractor, content: bytes) -> str:
    """What came of a file, in a word."""

    async def chunks() -> AsyncIterator[bytes]:
        for begin in range(0, len(content), 4096):
            yield content[begin : begin + 4096]

    events = extractor.extract(
        chunks(), TARGETS, frames_per_second=30, detect_shot_changes=True, deadline=Deadline.after(PATIENCE_SECONDS)
    )
    outcome = "nothing"
    try:
        async for event in events:
            if isinstance(event, VideoEnd):
                outcome = "damaged" if event.damaged else "read"
    except errors.InvalidArgument as error:
        outcome = "refused: " + error.message.partition(", got")[0][:60]
    return outcome


def work(pipe: Connection) -> None:
    """The child: decodes what it is sent."""
    limit_memory()
    with FrameExtractor() as extractor:
        while content := pipe.recv_bytes():
            pipe.send((asyncio.run(decode(extractor, content)), memory_bytes()))


if __name__ == "__main__":
    fuzz("video", work, seeds(), __doc__)
