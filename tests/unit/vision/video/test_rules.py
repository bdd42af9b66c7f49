"""StreamingAnnotateVideo over a real socket, with faked ports: what is refused, and when its work ends."""

import asyncio

import grpc
import pytest

from maas.vision.v1 import video_pb2 as pb
from services.mesh.testing import FakeInference
from tests.failure import failure
from tests.unit.vision.video.films import Film, answers, clip, config, content, still, walking, watching

OBJECTS = pb.VIDEO_FEATURE_OBJECTS
EMPTY = pb.StreamingAnnotateVideoRequest()
LARGE = pb.StreamingAnnotateVideoRequest(content=bytes(1024 * 1024 + 1))
NOTHING = pb.StreamingAnnotateVideoRequest(content=b"")
BEFORE = still(0)
BEFORE.frame.offset.seconds = -1
BLANK = still(0.2)
BLANK.frame.image = b""


@pytest.mark.parametrize(
    ("messages", "field", "says"),
    [
        ([], "config", "is required in the first message, which brought nothing"),
        (clip(0), "config", "is required in the first message, which brought content"),
        ([still(0)], "config", "is required in the first message, which brought frame"),
        ([EMPTY], "streaming_request", "takes one of config, content and frame"),
        ([config(OBJECTS)], "content", "the stream ended without any data"),
        ([config(OBJECTS), EMPTY], "streaming_request", "takes one of config, content and frame"),
        ([config(OBJECTS), config(OBJECTS)], "config", "comes once"),
        ([config(OBJECTS), *clip(0), config(OBJECTS)], "config", "comes once"),
        ([config(OBJECTS), *clip(0), still(0)], "frame", "came after content"),
        ([config(OBJECTS), still(0), *clip(0)], "content", "came after frame"),
        ([config(OBJECTS), LARGE], "content", "takes 1 to 1048576 bytes, got 1048577"),
        ([config(OBJECTS), NOTHING], "content", "takes 1 to 1048576 bytes, got 0"),
        ([config(OBJECTS), still(0.4), still(0.4)], "frame.offset", "must be later than that of the frame before"),
        ([config(OBJECTS), BEFORE], "frame.offset", "takes 0 to 31536000 seconds, got -1"),
        ([config(OBJECTS), still(0), BLANK], "frame.image", "is required"),
        ([config()], "config.features", "takes at least one"),
        ([config(OBJECTS, OBJECTS)], "config.features[1]", "repeats VIDEO_FEATURE_OBJECTS"),
        ([config(OBJECTS, 0)], "config.features[1]", "has no value 0"),
        ([config(99)], "config.features[0]", "has no value 99"),
        ([config(OBJECTS, frames_per_second=31)], "config.frames_per_second", "takes 0 to 30, got 31"),
        ([config(OBJECTS, frames_per_second=-1)], "config.frames_per_second", "takes 0 to 30, got -1"),
        ([config(OBJECTS, frames_per_second=float("nan"))], "config.frames_per_second", "takes 0 to 30, got nan"),
        ([config(OBJECTS, min_object_score=2)], "config.min_object_score", "takes 0 to 1, got 2"),
        ([config(OBJECTS, object_names=["dog", "persn"])], "config.object_names[1]", "like it are: person"),
        ([config(OBJECTS, object_names=["unicorn"])], "config.object_names[0]", "no class that model 'detector' knows"),
        ([config(OBJECTS, object_names=["dog"] * 101)], "config.object_names", "takes at most 100 names, got 101"),
        ([config(OBJECTS, request_id="7")], "config.request_id", "must be a UUID"),
    ],
)
async def test_refused(messages, field, says):
    """What breaks a rule is INVALID_ARGUMENT, and names the field and the rule."""
    async with watching(Film()) as stub:
        code, _, bad, _ = await failure(answers(stub, *messages))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    (violation,) = bad.field_violations
    assert violation.field == field
    assert says in violation.description


async def test_unknown_model():
    """An unknown model is NOT_FOUND, and the error lists those that exist."""
    async with watching(Film()) as stub:
        code, info, *_ = await failure(answers(stub, config(OBJECTS, object_model="yolo")))
    assert code == grpc.StatusCode.NOT_FOUND
    assert info.metadata["known"] == "detector"


async def test_answers_before_an_error():
    """What was found before a message broke a rule is told before the error."""
    seen = []
    messages = [config(OBJECTS), *clip(0, 0.2), config(OBJECTS)]
    async with watching(Film()) as stub:
        code, *_ = await failure(answers(stub, *messages, seen=seen))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert len(seen) == 2


class Slow(FakeInference):
    """Answers when it is told to, and counts."""

    def __init__(self, film):
        super().__init__(walking)
        self.film = film
        self.asked, self.go = asyncio.Event(), asyncio.Event()
        self.cancelled = 0

    async def infer(self, model, inputs, outputs, *, deadline):
        self.asked.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        answer = await super().infer(model, inputs, outputs, deadline=deadline)
        self.film.looked += 1
        return answer


async def test_sender_is_slowed_down():
    """Of a video whose sender is faster than the analysis, no more is read than a few frames ahead."""
    film = Film()
    inference = Slow(film)
    chunks = [f"frame {index / 5}".ljust(200_000) for index in range(40)]
    async with watching(film, inference=inference) as stub:
        reading = asyncio.create_task(answers(stub, config(OBJECTS), *content(*chunks)))
        while film.taken < 4:
            await asyncio.sleep(0)
        for _ in range(1000):
            await asyncio.sleep(0)
        assert film.taken == 4
        inference.go.set()
        assert len(await reading) == 41
    assert film.ahead <= 5


@pytest.mark.parametrize("stills", [False, True])
async def test_cancelled(stills):
    """When the caller goes, decoding and inference end at once."""
    film = Film()
    inference = Slow(film)
    async with watching(film, inference=inference) as stub:
        call = stub.StreamingAnnotateVideo(timeout=10)
        await call.write(config(OBJECTS))
        for message in [still(0), still(0.2)] if stills else clip(0, 0.2):
            await call.write(message)
        await inference.asked.wait()
        call.cancel()
        if not stills:
            await film.closed.wait()
        while not inference.cancelled:
            await asyncio.sleep(0)
    assert not film.looked


async def test_deadline():
    """When the caller's deadline passes, decoding and inference end too."""
    film = Film()
    inference = Slow(film)
    async with watching(film, inference=inference) as stub:
        code, *_ = await failure(answers(stub, config(OBJECTS), *clip(0, 0.2), seconds=0.3))
        assert code == grpc.StatusCode.DEADLINE_EXCEEDED
        await film.closed.wait()
    assert inference.cancelled


async def test_reader_that_stops():
    """When the caller takes no more answers and then goes, the work ends, though it was waiting for the caller."""
    film = Film()
    inference = FakeInference(walking)
    async with watching(film, inference=inference) as stub:
        call = stub.StreamingAnnotateVideo(timeout=10)
        await call.write(config(OBJECTS))
        await call.write(clip(0)[0])
        assert (await call.read()).HasField("frame")
        call.cancel()
        await film.closed.wait()
