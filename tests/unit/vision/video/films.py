"""Videos in words, and the RPC that watches them over a real socket."""

import asyncio
from contextlib import asynccontextmanager

import numpy as np
from google.protobuf.duration_pb2 import Duration

from maas.vision.v1 import video_pb2 as pb
from maas.vision.v1 import vision_pb2_grpc
from services.mesh import errors
from services.mesh.ports import Pixels, Region, ShotChange, VideoEnd, VideoFrame, WaitingForIndex
from services.mesh.server import Servicer
from services.mesh.testing import FakeInference, FakePreprocessor, known_models, serve
from services.vision.pipelines.images import ImagePipelines
from services.vision.pipelines.video.annotate import VideoAnnotator
from services.vision.rpc.video import VideoRpcs
from tests.unit.vision.pictures import DETECTOR, FACES, READER, line, lines

CARDS = (DETECTOR, FACES, READER)
OBJECTS = pb.VideoConfig(features=[pb.VIDEO_FEATURE_OBJECTS])


class Film(FakePreprocessor):
    """Reads files whose chunks are words: "frame 0.4", "cut 0.4", "wait", "broken" or "bad"; others are skipped.

    A frame's pixels have ten times its offset as their value. taken: chunks that were read. closed: whether the work is
    over. ahead: the most frames that were read and not yet looked at.
    """

    def __init__(self, **given):
        super().__init__(**given)
        self.taken = self.looked = self.ahead = 0
        self.closed = asyncio.Event()
        self.targets = []

    async def extract_frames(self, chunks, targets, *, frames_per_second, detect_shot_changes, deadline):
        self.targets = list(targets)
        frames, offset, damaged = 0, 0.0, False
        try:
            async for chunk in chunks:
                self.taken += 1
                self.ahead = max(self.ahead, self.taken - self.looked)
                word, _, number = chunk.strip().decode().partition(" ")
                if word == "frame":
                    frames, offset = frames + 1, float(number)
                    yield VideoFrame(offset, tuple(self._render(offset, target) for target in targets))
                elif word == "cut":
                    yield ShotChange(float(number), 0.75)
                elif word == "wait":
                    yield WaitingForIndex()
                elif word == "bad":
                    raise errors.InvalidArgument.field("content", "is no video")
                damaged = damaged or word == "broken"
            yield VideoEnd(offset, frames, damaged=damaged, container="mp4", codec="h264")
        finally:
            self.closed.set()

    async def render_image(self, content, targets, *, deadline):
        self._raise()
        self.rendered.append(list(targets))
        if content == b"bad":
            raise errors.InvalidArgument.field("image.content", "is no picture")
        return [self._render(float(content), target) for target in targets]

    def _render(self, value, target):
        pixels = np.full((target.height, target.width, 3), round(10 * value), np.uint8)
        return Pixels(pixels, *self.source, Region(0, 0, 1, 1))


def when(inputs):
    """The offset of the frame that a model is given."""
    return inputs["images"].ravel()[0] / 10


def boxes(*found):
    """What the detector answers: x, score and class of each thing, best first."""
    return {
        "boxes": np.float32([[[0.3, x - 0.1, 0.9, x + 0.1] for x, _, _ in found]]).reshape(1, -1, 4),
        "scores": np.float32([[score for _, score, _ in found]]),
        "classes": np.int64([[index for _, _, index in found]]),
    }


def walking(model, inputs):
    """Somebody who walks from left to right in four seconds; their face; and what stands on a sign."""
    x = 0.2 + 0.15 * when(inputs)
    if model == "detector":
        return boxes((x, 0.9, 0))
    if model == "faces":
        return {
            "boxes": np.float32([[[0.3, x - 0.05, 0.4, x + 0.05]]]),
            "scores": np.float32([[0.8]]),
            "landmarks": np.full((1, 1, 5, 2), 0.5, np.float32),
        }
    return lines(line("STOP", (0.7, 0.1, 0.8, 0.2)))


class Only(VideoRpcs):
    """The RPC that watches videos and no others."""

    def __init__(self, images, videos):
        self._images = images
        self._videos = videos


@asynccontextmanager
async def watching(film, answer=walking, *, inference=None, cards=CARDS, progress_seconds=60.0):
    """A stub of the service."""
    inference = inference or FakeInference(answer)
    models = await known_models(*cards)
    images = ImagePipelines.over(inference, film, models)
    rpcs = Only(images, VideoAnnotator(film, images, progress_seconds=progress_seconds))
    served = Servicer("maas.vision.v1.VisionService", vision_pb2_grpc.add_VisionServiceServicer_to_server, rpcs)
    async with serve(served) as channel:
        yield vision_pb2_grpc.VisionServiceStub(channel)


def config(*features, **given):
    """The first message."""
    return pb.StreamingAnnotateVideoRequest(config=pb.VideoConfig(features=features, **given))


def content(*words):
    """Messages that bring a file."""
    return [pb.StreamingAnnotateVideoRequest(content=word.encode()) for word in words]


def clip(*offsets):
    """Messages that bring a file with those frames."""
    return content(*(f"frame {offset}" for offset in offsets))


def still(offset, image=None):
    """A message that brings a single frame, whose brightness is ten times `image`."""
    at = Duration()
    at.FromMilliseconds(round(offset * 1000))
    picture = str(offset if image is None else image).encode()
    return pb.StreamingAnnotateVideoRequest(frame=pb.VideoFrame(image=picture, offset=at))


async def answers(stub, *messages, seconds=10, seen=None):
    """What is answered to messages, by kind, in order. seen: a list that has it even when the call fails."""
    seen = [] if seen is None else seen
    async for answer in stub.StreamingAnnotateVideo(iter(messages), timeout=seconds):
        kind = answer.WhichOneof("streaming_response")
        seen += [(kind, getattr(answer, kind))]
    return seen


def of_kind(answered, kind):
    """Those of one kind."""
    return [each for name, each in answered if name == kind]


def seconds(duration):
    """A Duration as a number."""
    return duration.ToMilliseconds() / 1000
