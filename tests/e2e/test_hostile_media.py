"""Files that break decoders, sent by strangers through the gateway: each gets a clear answer, nobody else notices."""

from __future__ import annotations

import asyncio
import functools
import io
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc
import pytest
from PIL import Image

from deploy.local.proc import resident_bytes
from maas.type.v1 import media_pb2
from maas.vision.v1 import face_pb2, redaction_pb2, video_pb2, vision_pb2_grpc
from maas.vision.v1 import vision_pb2 as pb
from tests.failure import refusal
from tests.unit.preprocessing.video.films import FASTSTART, corners, film

SAMPLES = Path(__file__).parents[2] / ".build/samples"
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
SECONDS = 60
MEBIBYTE = 1024 * 1024
NO_PICTURE = "is none of BMP, GIF, JPEG, PNG, TIFF, WEBP, or damaged"
DAMAGED = "is damaged or incomplete"
TOO_LARGE = "takes at most 50 megapixels and 16384 pixels a side"
INVALID = grpc.StatusCode.INVALID_ARGUMENT


@functools.cache
def photo() -> Image.Image:
    with Image.open(SAMPLES / "coffee.png") as opened:
        return opened.convert("RGB").resize((300, 200))


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


@functools.cache
def whole(kind: str) -> bytes:
    return encoded(photo(), kind)


def cut(kind: str) -> bytes:
    """The first third of a picture."""
    content = whole(kind)
    return content[: len(content) // 3]


def spoiled(kind: str, seed: int) -> bytes:
    """A picture some of whose bytes are others."""
    chance = random.Random(f"{kind} {seed}")
    content = bytearray(whole(kind))
    for _ in range(chance.choice((1, 4, 32))):
        content[chance.randrange(len(content))] = chance.randrange(256)
    return bytes(content)


def png(width: int, height: int, *, colour: int = 2, bits: int = 8, data: bytes = b"") -> bytes:
    """A PNG that says that it has such pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def animation(kind: str) -> bytes:
    return encoded(photo(), kind, save_all=True, append_images=[Image.new("RGB", (300, 200), "red")] * 20, loop=0)


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


# What is sent -> what is said of image.content.
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "is required, or a uri instead"),
    "a byte": (lambda: b"\0", NO_PICTURE),
    "a page": (lambda: b"<!doctype html><title>Not found</title>" * 30, NO_PICTURE),
    "a drawing": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="/etc/passwd"/></svg>', NO_PICTURE),
    "a recording": (lambda: sample("ask-not.wav"), NO_PICTURE),
    "a video": (lambda: film([corners()] * 5, muxer=FASTSTART), NO_PICTURE),
    "a program for a printer": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", NO_PICTURE),
    "20,000 pixels a side": (lambda: png(20_000, 20_000), TOO_LARGE),
    "a ribbon": (lambda: png(16_385, 1), TOO_LARGE),
    "a bomb": (lambda: png(2**31 - 1, 2**31 - 1), TOO_LARGE),
    "an animated bomb": (lambda: b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x08\0", TOO_LARGE),
    "20 MiB and a byte": (lambda: bytes(20 * MEBIBYTE + 1), "takes 1 to 20971520 bytes, got 20971521"),
    "32 bits a pixel": (lambda: encoded(Image.new("F", (8, 8)), "TIFF"), "has 32 bits a pixel"),
    **{f"a third of a {kind}": ((lambda kind=kind: cut(kind)), "damaged") for kind in FORMATS},
}  # fmt: skip
ANSWERED: dict[str, Callable[[], bytes]] = {
    **{f"one pixel as {kind}": (lambda kind=kind: encoded(Image.new("RGB", (1, 1)), kind)) for kind in FORMATS},
    "inks": lambda: encoded(photo().convert("CMYK"), "JPEG"),
    "16 bits": lambda: png(8, 8, colour=0, bits=16, data=bytes(17 * 8)),
    "16 bits of each colour": lambda: png(8, 8, bits=16, data=bytes(49 * 8)),
    "black and white": lambda: encoded(photo().convert("1"), "TIFF", compression="group4"),
    "a transparent palette": lambda: encoded(photo().convert("P"), "GIF", transparency=0),
    "grey and transparent": lambda: encoded(photo().convert("LA"), "PNG"),
    "an animated GIF": lambda: animation("GIF"),
    "an animated WebP": lambda: animation("WEBP"),
    "a hair": lambda: png(16_384, 1, data=bytes(1 + 3 * 16_384)),
    # 147 MB of pixels in 147 kB.
    "as many pixels as may be": lambda: png(7000, 7000, data=bytes(7000 * (1 + 3 * 7000))),
}


@pytest.fixture
async def vision(mesh):
    """The service behind the gateway; its processes are the same afterwards."""
    before = pids(mesh)
    async with grpc.aio.insecure_channel(mesh.address) as channel:
        yield vision_pb2_grpc.VisionServiceStub(channel)
    assert pids(mesh) == before


def pids(mesh) -> dict[str, int]:
    return {name: state.pid for name, state in mesh.states().items()}


def message(content: bytes) -> media_pb2.Image:
    return media_pb2.Image(content=content)


def classify(vision, content: bytes):
    return vision.ClassifyImage(pb.ClassifyImageRequest(image=message(content)), timeout=SECONDS)


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_refused(vision, name):
    """A picture that cannot be is refused, with the field and the limit."""
    make, said = REFUSED[name]
    field, description = await refusal(classify(vision, make()))
    assert field == "image.content"
    assert said in description


@pytest.mark.parametrize("name", ANSWERED)
async def test_what_is_answered(vision, name):
    """An odd picture is one nevertheless."""
    answer = await classify(vision, ANSWERED[name]())
    assert len(answer.labels) == 5


async def test_the_first_frame_of_an_animation_counts(vision):
    """An animation shows what its first frame shows, not the red of the others."""
    labels = [(await classify(vision, content)).labels[0].name for content in (animation("GIF"), sample("coffee.png"))]
    assert labels[0] == labels[1]


async def test_which_of_several_pictures(vision):
    """An error names the picture that is meant; in a batch the others have their answers."""
    good, bad = message(sample("portrait.png")), message(cut("JPEG"))
    field, _ = await refusal(
        vision.VerifyFace(face_pb2.VerifyFaceRequest(image=good, other_image=bad), timeout=SECONDS)
    )
    assert field == "other_image.content"
    labels = [pb.ImageFeatureRequest(feature=pb.IMAGE_FEATURE_LABELS)]
    batch = pb.BatchAnnotateImagesRequest(images=[good, bad, message(b""), good], features=labels)
    results = (await vision.BatchAnnotateImages(batch, timeout=SECONDS)).results
    assert [bool(result.annotation.labels) for result in results] == [True, False, False, True]
    assert results[1].status.code == results[2].status.code == INVALID.value[0]
    assert results[1].status.message == f"images[1].content: {DAMAGED}"
    assert results[2].status.message == "images[2].content: is required, or a uri instead"


async def flood(vision, contents: Sequence[bytes]) -> set[grpc.StatusCode]:
    """Send all of them, some at once: the codes that came back. They are decoded, and no model is asked."""
    free = asyncio.Semaphore(8)
    corner = media_pb2.BoundingBox(x_max=0.1, y_max=0.1)

    async def one(content: bytes) -> grpc.StatusCode:
        async with free:
            request = redaction_pb2.RedactImageRequest(image=message(content), boxes=[corner])
            return await vision.RedactImage(request, timeout=SECONDS).code()

    return set(await asyncio.gather(*map(one, contents)))


async def test_memory_stays_flat(mesh, vision):
    """Some hundred pictures, damaged at random, leave the processes as large as they were."""
    hostile = [make() for name, (make, _) in REFUSED.items() if name != "20 MiB and a byte"]

    def contents(seeds: range) -> list[bytes]:
        return [*hostile, *(spoiled(kind, seed) for kind in FORMATS for seed in seeds)]

    def sizes() -> dict[str, int]:
        return {name: resident_bytes(mesh.states()[name].pid) for name in ("preprocessing", "vision")}

    # The first ones load what they need.
    await flood(vision, contents(range(4)))
    before = sizes()
    codes = await flood(vision, contents(range(4, 60)))
    assert codes == {grpc.StatusCode.OK, INVALID}
    grown = {name: size - before[name] for name, size in sizes().items()}
    assert max(grown.values()) < 48 * MEBIBYTE, grown


async def watch(vision, *requests: video_pb2.StreamingAnnotateVideoRequest) -> video_pb2.VideoSummary:
    """The summary of a video."""
    features = [video_pb2.VIDEO_FEATURE_OBJECTS]
    first = video_pb2.StreamingAnnotateVideoRequest(config=video_pb2.VideoConfig(features=features))
    answers = [answer async for answer in vision.StreamingAnnotateVideo(iter([first, *requests]), timeout=SECONDS)]
    return answers[-1].summary


def chunk(content: bytes) -> video_pb2.StreamingAnnotateVideoRequest:
    return video_pb2.StreamingAnnotateVideoRequest(content=content)


def still(content: bytes, seconds: int = 0) -> video_pb2.StreamingAnnotateVideoRequest:
    frame = video_pb2.VideoFrame(image=content)
    frame.offset.FromSeconds(seconds)
    return video_pb2.StreamingAnnotateVideoRequest(frame=frame)


NO_VIDEO = "is none of avi, matroska, mov, mp4, mpegts, webm, or empty"


@pytest.mark.parametrize(
    ("requests", "field", "said"),
    [
        (list, "content", "is required: the stream ended without any data"),
        (lambda: [chunk(b"")], "content", "takes 1 to 1048576 bytes, got 0"),
        (lambda: [chunk(bytes(MEBIBYTE + 1))], "content", "takes 1 to 1048576 bytes, got 1048577"),
        (lambda: [chunk(sample("coffee.png")[:MEBIBYTE])], "content", NO_VIDEO),
        (lambda: [chunk(film([corners()] * 20)[:600])], "content", "begins like mp4, but is damaged"),
        (lambda: [chunk(b"\x1a\x45\xdf\xa3" + bytes(5000))], "content", "begins like matroska, but is damaged"),
        (lambda: [still(b"")], "frame.image", "is required"),
        (lambda: [still(film([corners()] * 5))], "frame.image", NO_PICTURE),
        (lambda: [still(encoded(photo(), "JPEG")), still(cut("PNG"), 1)], "frame.image", DAMAGED),
        (lambda: [still(encoded(photo(), "JPEG")), chunk(b"0")], "content", "came after frame"),
        (lambda: [video_pb2.StreamingAnnotateVideoRequest()], "streaming_request", "takes one of config, content"),
    ],
    ids=[
        "nothing", "no bytes", "too many bytes", "a picture", "no index", "a damaged head", "an empty frame",
        "a video as a frame", "a damaged frame", "both", "an empty message",
    ],
)  # fmt: skip
async def test_videos_that_are_refused(vision, requests, field, said):
    """What is no video is refused, and what may not come in one, with the field."""
    named, description = await refusal(watch(vision, *requests()))
    assert named == field
    assert said in description


async def test_a_damaged_video(vision):
    """What can be seen of a video with a damaged place is seen."""
    pictures = [corners()] * 40
    content = bytearray(film(pictures, codec="mjpeg", container="avi"))
    middle = len(content) // 2
    content[middle : middle + 4000] = bytes(4000)
    summary = await watch(vision, chunk(bytes(content)))
    assert 0 < summary.frames_decoded < len(pictures)
