"""ExtractFrames over a real socket, and the adapters of its port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2

from maas.preprocessing.v1 import preprocessing_pb2 as pb
from maas.preprocessing.v1 import preprocessing_pb2_grpc
from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import Preprocessor, ShotChange, Target, VideoEnd, VideoEvent, VideoFrame, WaitingForIndex
from services.mesh.preprocessing import RemotePreprocessor
from services.mesh.testing import FakeInference, known_models, serve
from services.preprocessing.app import servicer
from services.preprocessing.local import LocalPreprocessor
from services.preprocessing.pipelines.fetch.fetcher import Fetcher
from services.preprocessing.pipelines.inputs import InputPipelines
from services.preprocessing.pipelines.languages import TASK, LanguageIdentifier
from services.preprocessing.pipelines.sound.sounds import Sounds
from services.preprocessing.pipelines.sound.stream import SoundStreamer
from services.preprocessing.pipelines.tokens import Tokenizers
from services.preprocessing.pipelines.video.extract import FrameExtractor
from services.preprocessing.pipelines.workers import Workers
from tests.integration.preproc_service import refused
from tests.unit.preprocessing.video.films import FASTSTART, corners, film, pieces, plain

ID = "7d9a7d4c-52c5-4c4c-a8f5-3b1c1a8e8a53"
MEBIBYTE = 1024 * 1024
SQUARE = pb.ImageTarget(width=32, height=32)


@dataclass
class Served:
    """A service, and the two ways to it."""

    stub: preprocessing_pb2_grpc.PreprocessingServiceAsyncStub
    extractor: FrameExtractor
    remote: Preprocessor
    local: Preprocessor

    async def idle(self) -> None:
        """Wait until no video is being decoded."""
        while self.extractor.videos:
            await asyncio.sleep(0.01)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    inference, known = FakeInference(lambda *_: {}), await known_models(ModelCard(name="lid", task=TASK, summary=""))
    with Workers(threads=1, max_waiting=1) as workers, FrameExtractor(max_videos=2) as extractor:
        pipelines = InputPipelines(
            Tokenizers({}),
            workers,
            LanguageIdentifier(inference, known),
            Fetcher(),
            extractor=extractor,
            sounds=Sounds(SoundStreamer(), inference, known),
        )
        async with serve(servicer(pipelines)) as channel:
            stub = preprocessing_pb2_grpc.PreprocessingServiceStub(channel)
            yield Served(stub, extractor, RemotePreprocessor(channel), LocalPreprocessor(pipelines))


def request(content: bytes = b"", **config) -> pb.ExtractFramesRequest:
    return pb.ExtractFramesRequest(content=content) if content else pb.ExtractFramesRequest(config=config)


async def ask(served: Served, *requests: pb.ExtractFramesRequest) -> list[pb.ExtractFramesResponse]:
    return [response async for response in served.stub.ExtractFrames(iter(requests), timeout=20)]


def extract(preprocessor: Preprocessor, chunks: AsyncIterator[bytes], *, seconds: float = 20, **options):
    wanted = {"frames_per_second": 30, "detect_shot_changes": True} | options
    return preprocessor.extract_frames(chunks, [Target(64, 64, "contain")], deadline=Deadline.after(seconds), **wanted)


async def test_a_whole_video(served):
    """Frames, a change of shots before its frame, and the end with its facts and the request's id."""
    content = film([corners()] * 10 + [plain(0, 0, 200)] * 10, muxer=FASTSTART)
    config = request(targets=[SQUARE, SQUARE], detect_shot_changes=True, frames_per_second=10, request_id=ID)
    answers = await ask(served, config, *(request(content[at : at + 999]) for at in range(0, len(content), 999)))
    kinds = [answer.WhichOneof("streaming_response") for answer in answers]
    assert kinds == ["frame"] * 10 + ["shot_change"] + ["frame"] * 10 + ["end"]
    frame = answers[10 + 1].frame
    assert frame.offset == answers[10].shot_change.offset
    assert frame.offset.ToMilliseconds() == 1000
    assert [list(each.pixels.shape) for each in frame.renderings] == [[32, 32, 3]] * 2
    assert (frame.source_width, frame.source_height) == (64, 48)
    end = answers[-1].end
    assert (end.frames_decoded, end.source_container, end.source_codec, end.request_id) == (20, "mp4", "h264", ID)
    assert end.duration.ToMilliseconds() == 2000


async def test_the_default_is_five_frames_a_second(served):
    """A rate of 0 means 5."""
    answers = await ask(served, request(targets=[SQUARE]), request(film([corners()] * 20, muxer=FASTSTART)))
    assert sum(answer.HasField("frame") for answer in answers) == 10


@pytest.mark.parametrize(
    ("requests", "field"),
    [
        ([], "config"),
        ([request(b"x")], "config"),
        ([request(request_id="x")], "request_id"),
        ([request(), request()], "config"),
        ([request(), pb.ExtractFramesRequest()], "content"),
        ([request(), request(bytes(MEBIBYTE + 1))], "content"),
        ([request()], "content"),
        ([request(), request(bytes(5000))], "content"),
        ([request(frames_per_second=31)], "config.frames_per_second"),
        ([request(targets=[SQUARE] * 5)], "config.targets"),
        ([request(targets=[pb.ImageTarget(width=2048, height=2048)])], "config.targets"),
        ([request(targets=[pb.ImageTarget(width=1)])], "config.targets[0].height"),
        ([request(targets=[pb.ImageTarget(width=1, height=1, fit=9)])], "config.targets[0].fit"),
    ],
)
async def test_broken_rules(served, requests, field):
    """Each rule of the contract is an INVALID_ARGUMENT that names the field, and leaves nothing behind."""
    code, details = await refused(ask(served, *requests))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    bad = next(detail for detail in details if isinstance(detail, error_details_pb2.BadRequest))
    assert [violation.field for violation in bad.field_violations] == [field]
    await served.idle()


async def test_both_adapters_answer_alike(served):
    """Over the socket and in process, the same events come with the same pixels."""
    content = film([corners()] * 10 + [plain(0, 0, 200)] * 10)
    remote, local = [
        [event async for event in extract(each, pieces(content)())] for each in (served.remote, served.local)
    ]
    assert [type(event) for event in remote] == [type(event) for event in local]
    assert [type(event) for event in remote if not isinstance(event, VideoFrame)] == [
        WaitingForIndex, ShotChange, VideoEnd,
    ]  # fmt: skip
    for one, other in zip(remote, local, strict=True):
        if isinstance(one, VideoFrame):
            assert one.offset_seconds == pytest.approx(other.offset_seconds, abs=1e-6)
            np.testing.assert_array_equal(one.renderings[0].pixels, other.renderings[0].pixels, strict=True)
            assert one.renderings[0].source_region.y_max == pytest.approx(64 / 48)


@pytest.mark.parametrize("adapter", ["remote", "local"])
async def test_errors_of_the_adapters(served, adapter):
    """What is wrong with a video is an error of ours, and so is what the caller's own chunks raise."""
    preprocessor = getattr(served, adapter)

    async def broken() -> AsyncIterator[bytes]:
        yield bytes([0x1A, 0x45, 0xDF, 0xA3])
        raise errors.InvalidArgument.field("frame", "is not allowed here")

    async def drain(chunks: AsyncIterator[bytes], **options) -> list[VideoEvent]:
        return [event async for event in extract(preprocessor, chunks, **options)]

    with pytest.raises(errors.InvalidArgument, match="is none of"):
        await drain(pieces(bytes(5000))())
    with pytest.raises(errors.InvalidArgument, match="not allowed here"):
        await drain(broken())
    with pytest.raises(errors.DeadlineExceeded):
        await drain(silent(), seconds=0.3)
    await served.idle()


async def silent() -> AsyncIterator[bytes]:
    """A file that never goes on."""
    yield b"RIFF"
    await asyncio.Event().wait()


@pytest.mark.parametrize("adapter", ["remote", "local"])
async def test_closing_ends_the_work(served, adapter):
    """Closing the generator, or cancelling who reads from it, ends the decoding, also while it waits for input."""
    preprocessor = getattr(served, adapter)
    events = extract(preprocessor, pieces(film([corners()] * 300, codec="mjpeg", container="avi"))())
    await anext(events)
    await events.aclose()
    await served.idle()
    waiting = asyncio.ensure_future(anext(extract(preprocessor, silent())))
    while not served.extractor.videos:
        await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await served.idle()


async def test_a_caller_who_goes_while_it_is_not_reading(served):
    """A call that is cancelled while its answers wait to be taken leaves no thread and no place taken."""
    content = film([corners(640, 480)] * 100, codec="mjpeg", container="avi")
    for _ in range(3):
        call = served.stub.ExtractFrames(timeout=20)
        await call.write(request(targets=[pb.ImageTarget(width=1024, height=1024)], frames_per_second=30))
        for at in range(0, len(content), MEBIBYTE):
            await call.write(request(content[at : at + MEBIBYTE]))
        await call.read()
        call.cancel()
        await served.idle()


@pytest.mark.usefixtures("small_windows")
async def test_a_reader_who_stops_makes_the_writer_stop(served):
    """Of a long video little is sent when nobody takes its frames; it goes on when they are taken."""
    noise = np.random.default_rng(1).integers(0, 255, (480, 640, 3), np.uint8)
    content = film([noise] * 300, codec="mjpeg", container="avi")
    assert len(content) > 12 * MEBIBYTE
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        async for chunk in pieces(content, 64 * 1024)():
            sent += len(chunk)
            yield chunk

    events = served.remote.extract_frames(
        chunks(),
        [Target(640, 480, "stretch")],
        frames_per_second=30,
        detect_shot_changes=False,
        deadline=Deadline.after(60),
    )
    await anext(events)
    seen = -1
    while seen < sent:
        seen = sent
        await asyncio.sleep(0.25)
    assert sent < len(content) / 2
    count = 1
    async for event in events:
        count += isinstance(event, VideoFrame)
    assert count == 300
    assert sent == len(content)


async def test_too_many_videos(served):
    """A video beyond those that may be decoded at once is RESOURCE_EXHAUSTED, with a time to retry."""
    begun = [asyncio.ensure_future(anext(extract(served.remote, silent()))) for _ in range(2)]
    while served.extractor.videos < len(begun):
        await asyncio.sleep(0.01)
    with pytest.raises(errors.Exhausted) as caught:
        await anext(extract(served.remote, silent()))
    assert caught.value.retry_after_seconds
    for each in begun:
        each.cancel()
    await asyncio.wait(begun)


async def test_an_error_while_chunks_are_sent(served):
    """What is wrong with a video is told, also when the service says so while more of it is being written."""
    for _ in range(20):
        with pytest.raises(errors.InvalidArgument, match="is none of"):
            await anext(extract(served.remote, pieces(bytes(20 * MEBIBYTE), 200_000)()))


@pytest.mark.parametrize("adapter", ["remote", "local"])
async def test_chunks_that_are_waited_for(served, adapter):
    """When a video ends, in whatever way, nobody goes on waiting for its next chunk."""
    chunks = silent()
    events = extract(getattr(served, adapter), chunks)
    waiting = asyncio.ensure_future(anext(events))
    while not served.extractor.videos:
        await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait({waiting})
    await events.aclose()
    # It raises RuntimeError when somebody is still in there.
    await chunks.aclose()
