"""Videos whose senders change their minds: what they held is free again, and who comes next is served."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from maas.vision.v1 import video_pb2 as pb
from maas.vision.v1 import vision_pb2_grpc
from tests.failure import failure
from tests.unit.preprocessing.video.films import FRAGMENTED, corners, film

# As many as preprocessing decodes at once.
LIMIT = 4
SECONDS = 60
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
CONFIG = pb.StreamingAnnotateVideoRequest(
    config=pb.VideoConfig(features=[pb.VIDEO_FEATURE_OBJECTS], frames_per_second=1)
)


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    """Four seconds that can be decoded while they come."""
    path = tmp_path_factory.mktemp("video") / "film.mp4"
    path.write_bytes(film([corners()] * 40, muxer=FRAGMENTED, options={"g": "4", "bf": "0"}))
    return path


@pytest.fixture
async def vision(mesh):
    async with grpc.aio.insecure_channel(mesh.address) as channel:
        yield vision_pb2_grpc.VisionServiceStub(channel)


class Sender:
    """Sends a video, and then neither more nor an end.  ended: set it to end."""

    def __init__(self, vision, video: Path, seconds: float = SECONDS) -> None:
        self._content = video.read_bytes()
        self.ended = asyncio.Event()
        self.call = vision.StreamingAnnotateVideo(self._requests(), timeout=seconds)

    async def _requests(self) -> AsyncIterator[pb.StreamingAnnotateVideoRequest]:
        yield CONFIG
        yield pb.StreamingAnnotateVideoRequest(content=self._content)
        await self.ended.wait()

    async def first(self) -> pb.FrameAnnotation:
        """The first frame, so that a decoder is certainly busy with it. Raises what the call failed with."""
        async for answer in self.call:
            if answer.HasField("frame"):
                return answer.frame
        pytest.fail("the stream has ended")

    async def summary(self) -> pb.VideoSummary:
        """End, and read to the end."""
        self.ended.set()
        answers = [answer async for answer in self.call]
        return answers[-1].summary


async def served(vision, video) -> pb.VideoSummary:
    """The summary of a video, as soon as there is room for one more; within some seconds."""
    async with asyncio.timeout(15):
        while True:
            sender = Sender(vision, video)
            try:
                return await sender.summary()
            except grpc.aio.AioRpcError as error:
                if error.code() is not EXHAUSTED:
                    raise


async def test_no_more_videos_than_may_be(vision, video):
    """One video too many is refused with a time to come back, the others go on; when one has ended there is room."""
    await served(vision, video)
    senders = [Sender(vision, video) for _ in range(LIMIT)]
    for sender in senders:
        await sender.first()
    code, info, _, retry = await failure(Sender(vision, video).first())
    assert code is EXHAUSTED
    assert retry.retry_delay.seconds > 0
    assert info.domain == "maas"
    for sender in senders:
        assert (await sender.summary()).frames_decoded == 40
    assert (await served(vision, video)).frames_decoded == 40


async def test_cancelled_videos_one_after_the_other(vision, video):
    """Three times as many as may be at once are begun and cancelled in their middle: each finds room."""
    await served(vision, video)
    for _ in range(3 * LIMIT):
        sender = Sender(vision, video)
        await sender.first()
        sender.call.cancel()
    assert (await served(vision, video)).frames_decoded == 40


@pytest.mark.parametrize("end", ["cancelled", "late", "closed"])
async def test_abandoned_videos_all_at_once(mesh, vision, video, end):
    """Every decoder is busy; when their callers cancel, come to their deadline or hang up, all are free again."""
    await served(vision, video)
    async with grpc.aio.insecure_channel(mesh.address) as other:
        stub = vision_pb2_grpc.VisionServiceStub(other)
        senders = [Sender(stub, video, 3 if end == "late" else SECONDS) for _ in range(LIMIT)]
        await asyncio.gather(*(sender.first() for sender in senders))
        if end == "closed":
            await other.close()
        for sender in senders:
            if end == "cancelled":
                sender.call.cancel()
            code = await sender.call.code()
            assert code is {"late": grpc.StatusCode.DEADLINE_EXCEEDED}.get(end, grpc.StatusCode.CANCELLED)
    results = await asyncio.gather(*(served(vision, video) for _ in range(LIMIT)))
    assert [each.frames_decoded for each in results] == [40] * LIMIT


async def test_a_sender_that_vanishes(mesh, vision, video):
    """A client that is killed with all decoders busy frees them."""
    await served(vision, video)
    program = f"""
import asyncio, grpc, sys
from pathlib import Path
from maas.vision.v1 import vision_pb2_grpc
from tests.e2e.test_video_streams import Sender
async def main():
    stub = vision_pb2_grpc.VisionServiceStub(grpc.aio.insecure_channel("{mesh.address}"))
    senders = [Sender(stub, Path("{video}")) for _ in range({LIMIT})]
    await asyncio.gather(*(sender.first() for sender in senders))
    print("busy", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"busy\n"
    finally:
        process.kill()
        await process.wait()
    results = await asyncio.gather(*(served(vision, video) for _ in range(LIMIT)))
    assert [each.frames_decoded for each in results] == [40] * LIMIT
