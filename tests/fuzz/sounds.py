"""Breaks small recordings of each container in many ways, and decodes them as streams, as the service does.

    python -m tests.fuzz.sounds --minutes 3

See tests.fuzz.breaking for what counts as a failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from multiprocessing.connection import Connection

import numpy as np

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.ports import AudioFormat, SoundEnd
from services.preprocessing.pipelines.sound.stream import SoundStreamer
from tests.fuzz.breaking import PATIENCE_SECONDS, fuzz, limit_memory, memory_bytes
from tests.unit.preprocessing.sound.recordings import recorded, sine

RATE = 48_000


def seeds() -> list[bytes]:
    """One sound recording of each kind."""
    noise = np.random.default_rng(3).normal(size=RATE // 2).astype(np.float32) / 8
    channels = np.stack([sine(440, rate=RATE, seconds=0.5), noise])
    made = [
        ("wav", "pcm_s16le"),
        ("wav", "pcm_s24le"),
        ("wav", "pcm_f32le"),
        ("wav", "pcm_f64le"),
        ("wav", "pcm_u8"),
        ("wav", "pcm_mulaw"),
        ("flac", "flac"),
        ("ogg", "vorbis"),
        ("ogg", "libopus"),
        ("webm", "libopus"),
        ("webm", "vorbis"),
        ("mp3", "libmp3lame"),
        ("aac", "aac"),
    ]
    return [
        recorded(channels, rate=RATE, container=container, codec=codec, layout="stereo") for container, codec in made
    ]


async def decode(streamer: SoundStreamer, content: bytes) -> str:
    """What came of a file, in a word."""

    async def chunks() -> AsyncIterator[bytes]:
        for begin in range(0, len(content), 1999):
            yield content[begin : begin + 1999]

    events = streamer.stream(
        chunks(),
        AudioFormat(),
        sample_rate_hertz=16_000,
        meter=None,
        field="content",
        deadline=Deadline.after(PATIENCE_SECONDS),
    )
    outcome = "nothing"
    try:
        async for event in events:
            if isinstance(event, SoundEnd):
                outcome = "damaged" if event.damaged else "read"
    except errors.InvalidArgument as error:
        outcome = "refused: " + error.message.partition(", got")[0][:60]
    return outcome


def work(pipe: Connection) -> None:
    """The child: decodes what it is sent."""
    limit_memory()
    with SoundStreamer() as streamer:
        while content := pipe.recv_bytes():
            pipe.send((asyncio.run(decode(streamer, content)), memory_bytes()))


if __name__ == "__main__":
    fuzz("sound", work, seeds(), __doc__)
