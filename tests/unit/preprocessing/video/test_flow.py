"""What is read and decoded, and when it ends."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.ports import Target, VideoEvent, VideoFrame, WaitingForIndex
from services.preprocessing.pipelines.video.extract import FrameExtractor
from tests.unit.preprocessing.video.films import FASTSTART, corners, film, pieces

LONG = film([corners()] * 600, codec="mjpeg", container="avi")
MEBIBYTE = 1024 * 1024


@pytest.fixture
def extractor():
    with FrameExtractor(max_videos=1, max_spooled_bytes=100_000) as opened:
        yield opened


def memory_bytes() -> int:
    """What this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def begin(extractor: FrameExtractor, chunks: AsyncIterator[bytes], *, seconds: float = 30):
    return extractor.extract(
        chunks,
        [Target(64, 48, "stretch")],
        frames_per_second=30,
        detect_shot_changes=False,
        deadline=Deadline.after(seconds),
    )


class Counted:
    """Chunks of a file, and how many were read."""

    def __init__(self, content: bytes) -> None:
        self.read_bytes = 0
        self._chunks = pieces(content, 500)()

    async def __aiter__(self):
        async for chunk in self._chunks:
            self.read_bytes += len(chunk)
            yield chunk


async def endless() -> AsyncIterator[bytes]:
    """The beginning of a file that never goes on."""
    yield LONG[:2000]
    await asyncio.Event().wait()


async def test_nothing_is_read_that_nobody_takes(extractor):
    """After the first frame, however long nobody asks for the next, little of the file has been read."""
    chunks = Counted(LONG)
    events = begin(extractor, aiter(chunks))
    await anext(events)
    after_one = chunks.read_bytes
    for _ in range(1000):
        await asyncio.sleep(0)
    assert chunks.read_bytes == after_one < len(LONG) / 3
    await events.aclose()


async def test_closing_ends_the_thread(extractor):
    """Who closes the generator in the middle of a video has ended the work when that returns."""
    for _ in range(3):
        events = begin(extractor, pieces(LONG)())
        await anext(events)
        await events.aclose()
        assert extractor.videos == 0


async def test_cancelling_ends_a_thread_that_waits_for_input(extractor):
    """A task that is cancelled while the file does not go on ends the work too."""

    async def read() -> list[VideoEvent]:
        return [event async for event in begin(extractor, endless())]

    task = asyncio.create_task(read())
    while not extractor.videos:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert extractor.videos == 0


async def test_the_deadline(extractor):
    """A file that does not go on ends with the deadline."""
    with pytest.raises(errors.DeadlineExceeded):
        async for _ in begin(extractor, endless(), seconds=0.2):
            pass
    assert extractor.videos == 0


async def test_no_more_videos_than_allowed(extractor):
    """Another video is refused, and told when to come back, until the one before has ended."""
    first = begin(extractor, pieces(LONG)())
    await anext(first)
    with pytest.raises(errors.Exhausted) as caught:
        await anext(begin(extractor, pieces(LONG)()))
    assert caught.value.retry_after_seconds
    await first.aclose()
    second = begin(extractor, pieces(LONG)())
    assert isinstance(await anext(second), VideoFrame)
    await second.aclose()


async def test_what_the_chunks_raise(extractor):
    """An error of the caller's own chunks comes out as it is."""

    async def broken() -> AsyncIterator[bytes]:
        yield LONG[:3000]
        raise errors.InvalidArgument.field("frame", "is not allowed here")

    with pytest.raises(errors.InvalidArgument, match="not allowed here"):
        async for _ in begin(extractor, broken()):
            pass
    assert extractor.videos == 0


async def test_an_index_at_the_end_of_too_much(extractor):
    """Of a file that must come whole, no more is kept than the limit says."""
    content = film([corners()] * 5)
    media = content.index(b"mdat") - 4
    large = content[:media] + (200_000).to_bytes(4) + b"mdat" + bytes(300_000)
    events = begin(extractor, pieces(large)())
    assert isinstance(await anext(events), WaitingForIndex)
    with pytest.raises(errors.InvalidArgument, match="made for streaming"):
        await anext(events)


async def test_the_event_loop_goes_on(extractor):
    """While a video is decoded, other work of the loop is done."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    content = film([corners(1280, 720)] * 20, muxer=FASTSTART)
    shown = [event async for event in begin(extractor, pieces(content)()) if isinstance(event, VideoFrame)]
    ticking.cancel()
    assert len(shown) == 20
    assert ticks > 10 * len(shown)


async def test_memory_stays_flat(extractor):
    """However long a video is, it takes no more memory than a short one."""
    noise = np.random.default_rng(5).integers(0, 255, (240, 320, 3), np.uint8)
    content = film([noise] * 1500, codec="mjpeg", container="avi")
    events = extractor.extract(
        pieces(content, 64 * 1024)(),
        [Target(320, 240, "stretch")],
        frames_per_second=30,
        detect_shot_changes=True,
        deadline=Deadline.after(60),
    )
    used = [memory_bytes() async for event in events if isinstance(event, VideoFrame)]
    assert len(used) == 1500
    assert used[-1] - used[200] < 32 * MEBIBYTE
