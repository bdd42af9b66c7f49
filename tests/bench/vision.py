"""What the vision service takes on this machine: time per RPC, frames a second of videos, memory, and stage by stage.

Run it with `make bench-vision`. It starts a mesh of its own, without traces for all but the stages.
"""

from __future__ import annotations

import asyncio
import secrets
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import grpc.aio
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from deploy.local.settings import LocalSettings, settings_for
from deploy.local.supervision import Supervisor
from deploy.local.triton.processes import every_model_process
from maas.type.v1.media_pb2 import Image
from maas.vision.v1 import face_pb2, image_pb2, redaction_pb2, video_pb2, vision_pb2, vision_pb2_grpc
from services.cli import waterfall
from services.cli.up import running_mesh

Stub = vision_pb2_grpc.VisionServiceStub
Ask = Callable[[], Awaitable[object]]
PORTRAIT, PHOTO, PAGE, VIDEO = "portrait.png", "people-at-table.jpg", "page.png", "bikes.mp4"
SECONDS = 120
EVERY_FEATURE = [number for number in vision_pb2.ImageFeature.values() if number]
STAGES = ("gateway and service", "decode", "to and from preprocessing", "to Triton and its queue", "compute", "back")


def asks(stub: Stub, samples: Path) -> dict[str, tuple[int, Ask]]:
    """RPC -> how often it is asked, and how."""
    photo, portrait, page = (Image(content=(samples / name).read_bytes()) for name in (PHOTO, PORTRAIT, PAGE))

    def annotate(*features: int) -> vision_pb2.AnnotateImageRequest:
        wanted = [vision_pb2.ImageFeatureRequest(feature=feature) for feature in features]
        return vision_pb2.AnnotateImageRequest(image=photo, features=wanted)

    attributes = [number for number in face_pb2.FaceAttribute.values() if number]
    requests: dict[str, tuple[int, str, object]] = {
        "ClassifyImage, Lite0": (100, "ClassifyImage", vision_pb2.ClassifyImageRequest(image=photo)),
        "ClassifyImage, Lite2": (
            60,
            "ClassifyImage",
            vision_pb2.ClassifyImageRequest(image=photo, model="efficientnet-lite2"),
        ),
        "EmbedImage": (100, "EmbedImage", image_pb2.EmbedImageRequest(image=photo)),
        "DetectObjects": (100, "DetectObjects", vision_pb2.DetectObjectsRequest(image=photo)),
        "DetectFaces": (60, "DetectFaces", face_pb2.DetectFacesRequest(image=portrait)),
        "DetectFaces, all attributes": (
            60,
            "DetectFaces",
            face_pb2.DetectFacesRequest(image=portrait, attributes=attributes),
        ),
        "VerifyFace": (40, "VerifyFace", face_pb2.VerifyFaceRequest(image=portrait, other_image=portrait)),
        "IdentifyFace, 1 enrolled": (60, "IdentifyFace", face_pb2.IdentifyFaceRequest(image=portrait)),
        "RecognizeText, a page": (16, "RecognizeText", image_pb2.RecognizeTextRequest(image=page)),
        "Safety": (60, "AnnotateImage", annotate(vision_pb2.IMAGE_FEATURE_SAFETY)),
        "Pose, every person": (60, "AnnotateImage", annotate(vision_pb2.IMAGE_FEATURE_POSE)),
        "Person mask": (60, "AnnotateImage", annotate(vision_pb2.IMAGE_FEATURE_PERSON_MASK)),
        "AnnotateImage, labels and objects": (
            60,
            "AnnotateImage",
            annotate(vision_pb2.IMAGE_FEATURE_LABELS, vision_pb2.IMAGE_FEATURE_OBJECTS),
        ),
        "AnnotateImage, all 8 features": (24, "AnnotateImage", annotate(*EVERY_FEATURE)),
        "RedactImage, faces": (40, "RedactImage", redaction_pb2.RedactImageRequest(image=portrait, faces=True)),
    }

    def asking(rpc: str, request: object) -> Ask:
        return lambda: getattr(stub, rpc)(request, timeout=SECONDS)

    return {name: (times, asking(rpc, request)) for name, (times, rpc, request) in requests.items()}


async def times_of(ask: Ask, calls: int, callers: int) -> list[float]:
    """Milliseconds of each call, with so many callers at once, each waiting for its answer."""
    waiting, times = iter(range(calls)), []

    async def caller() -> None:
        for _ in waiting:
            began = time.perf_counter()
            await ask()
            times.append((time.perf_counter() - began) * 1000)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return times


async def latencies(stub: Stub, samples: Path) -> Table:
    """Median and 95th percentile of each RPC, alone and with eight callers."""
    table = Table(title="Milliseconds a call")
    table.add_column("RPC", no_wrap=True)
    for column in ("p50, 1 caller", "p95", "p50, 8 callers", "p95", "calls/s"):
        table.add_column(column, justify="right")
    enrol = face_pb2.EnrollFaceRequest(image=Image(content=(samples / PORTRAIT).read_bytes()), person_id="bench")
    await stub.EnrollFace(enrol, timeout=SECONDS)
    for name, (calls, ask) in asks(stub, samples).items():
        await times_of(ask, 4, 2)
        row = []
        for callers in (1, 8):
            began = time.perf_counter()
            times = await times_of(ask, calls, callers)
            took = time.perf_counter() - began
            row += [f"{statistics.median(times):.0f}", f"{statistics.quantiles(times, n=20)[-1]:.0f}"]
        table.add_row(name, *row, f"{calls / took:.1f}")
    await stub.DeleteFace(face_pb2.DeleteFaceRequest(person_id="bench"), timeout=SECONDS)
    return table


async def video(stub: Stub, name: str, content: bytes) -> Table:
    """Frames a second of a video, with and without faces."""
    table = Table(title=f"StreamingAnnotateVideo, {name}")
    table.add_column("what", no_wrap=True)
    for column in ("frames", "a second", "decoded", "speed"):
        table.add_column(column, justify="right")

    async def requests(features: Sequence[int], rate: float) -> AsyncIterator[video_pb2.StreamingAnnotateVideoRequest]:
        config = video_pb2.VideoConfig(features=features, frames_per_second=rate, omit_frames=True)
        yield video_pb2.StreamingAnnotateVideoRequest(config=config)
        for begin in range(0, len(content), 262_144):
            yield video_pb2.StreamingAnnotateVideoRequest(content=content[begin : begin + 262_144])

    objects, shots, faces = (
        video_pb2.VIDEO_FEATURE_OBJECTS,
        video_pb2.VIDEO_FEATURE_SHOT_CHANGES,
        video_pb2.VIDEO_FEATURE_FACES,
    )
    for what, features, rate in (
        ("shot changes alone", [shots], 5),
        ("objects and shot changes, 5 frames a second", [objects, shots], 5),
        ("objects and shot changes, every frame", [objects, shots], 30),
        ("objects, faces and shot changes, 5 frames a second", [objects, shots, faces], 5),
    ):
        began = time.perf_counter()
        summary = video_pb2.VideoSummary()
        async for answer in stub.StreamingAnnotateVideo(requests(features, rate), timeout=600):
            if answer.HasField("summary"):
                summary = answer.summary
        took = time.perf_counter() - began
        length = summary.duration.ToTimedelta().total_seconds()
        table.add_row(
            what,
            str(summary.frames_analyzed),
            f"{summary.frames_analyzed / took:.1f}",
            f"{summary.frames_decoded / took:.0f}",
            f"{length / took:.1f} x",
        )
    return table


def memory(settings: LocalSettings) -> dict[str, float]:
    """MiB that the services which pictures pass through hold, and the model processes of vision."""
    found: dict[str, float] = defaultdict(float)
    for state in Supervisor(settings.run).states():
        if state.name in {"gateway", "vision", "preprocessing", "triton"} and state.pid:
            found[state.name] = resident_mib(state.pid)
    for process in every_model_process():
        found[f"model {process.model}"] += process.proportional_bytes() / 2**20
    return found


def resident_mib(pid: int) -> float:
    """VmRSS of a process."""
    line = next(each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def every_picture(samples: Path) -> list[bytes]:
    """All sample photos."""
    return [path.read_bytes() for path in sorted(samples.iterdir()) if path.suffix in {".png", ".jpg"}]


async def growth(stub: Stub, settings: LocalSettings, contents: Sequence[bytes], pictures: int) -> Table:
    """Memory before and after so many pictures of different sizes and formats."""
    features = [vision_pb2.ImageFeatureRequest(feature=feature) for feature in (1, 3, 4)]
    numbers = iter(range(pictures + 100))

    async def one() -> None:
        image = Image(content=contents[next(numbers) % len(contents)])
        await stub.AnnotateImage(vision_pb2.AnnotateImageRequest(image=image, features=features), timeout=SECONDS)

    await times_of(one, 100, 8)
    before = memory(settings)
    await times_of(one, pictures, 8)
    after = memory(settings)
    table = Table(title=f"MiB before and after {pictures} pictures (labels, objects and faces; eight callers)")
    table.add_column("process", no_wrap=True)
    for column in ("before", "after", "grown"):
        table.add_column(column, justify="right")
    used = {"efficientnet-lite0", "ssdlite-mobilenet-v2", "centerface"}
    for name, size in before.items():
        if not name.startswith("model ") or name.removeprefix("model ") in used:
            table.add_row(name, f"{size:.0f}", f"{after[name]:.0f}", f"{after[name] - size:+.0f}")
    return table


async def stages(stub: Stub, settings: LocalSettings, samples: Path, calls: int) -> Table:
    """Where the time of single calls goes, from their traces."""
    image = Image(content=(samples / PHOTO).read_bytes())
    table = Table(title=f"Shares of a call's time, one caller, the median of {calls} traces")
    table.add_column("RPC", no_wrap=True)
    for column in ("ms", *STAGES):
        table.add_column(column, justify="right")
    requests = {
        "ClassifyImage": vision_pb2.ClassifyImageRequest(image=image),
        "DetectObjects": vision_pb2.DetectObjectsRequest(image=image),
        "DetectFaces": face_pb2.DetectFacesRequest(image=image),
    }
    ui = f"127.0.0.1:{settings.ports.tracing_http}"
    for rpc, request in requests.items():
        await times_of(lambda rpc=rpc, request=request: getattr(stub, rpc)(request, timeout=SECONDS), 10, 1)
        traces = [secrets.token_hex(16) for _ in range(calls)]
        for trace in traces:
            parent = ("traceparent", f"00-{trace}-{secrets.token_hex(8)}-01")
            await getattr(stub, rpc)(request, timeout=SECONDS, metadata=(parent,))
        found = [
            shares(await asyncio.to_thread(waterfall.wait_for, ui, trace, ("gateway", "vision", "triton"), 20.0))
            for trace in traces
        ]
        medians = [statistics.median(column) for column in zip(*found, strict=True)]
        whole = sum(medians)
        table.add_row(rpc, f"{whole:.1f}", *[f"{part / whole:.0%}" for part in medians])
    return table


def shares(spans: Sequence[waterfall.Span]) -> list[float]:
    """Milliseconds of each stage of one call."""

    def took(service: str, words: str) -> float:
        return sum(span.end - span.begin for span in spans if span.service == service and words in span.name)

    gateway = next(span for span in spans if span.service == "gateway")
    whole = gateway.end - gateway.begin
    asked = took("vision", "PreprocessingService/")
    decode = took("preprocessing", "PreprocessingService/")
    inferred, queue, compute = took("vision", "ModelInfer"), took("triton", "queue"), took("triton", "compute")
    return [whole - asked - inferred, decode, asked - decode, queue, compute, inferred - queue - compute]


async def measure(settings: LocalSettings, samples: Path, pictures: int) -> list[Table]:
    """Everything but the stages, on a running mesh."""
    options = [("grpc.max_receive_message_length", 64 * 2**20)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{settings.ports.gateway}", options=options) as channel:
        stub = Stub(channel)
        return [
            await latencies(stub, samples),
            await video(stub, VIDEO, (samples / VIDEO).read_bytes()),
            await growth(stub, settings, every_picture(samples), pictures),
        ]


async def traced(settings: LocalSettings, samples: Path, calls: int) -> Table:
    """The stages, on a running mesh with traces."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{settings.ports.gateway}") as channel:
        return await stages(Stub(channel), settings, samples, calls)


def main(port: int = 8200, pictures: int = 2000, traces: int = 40) -> None:
    """Start a mesh without traces and measure it, then one with traces."""
    settings = settings_for(port)
    samples = settings.build / "samples"
    with running_mesh(settings, threading.Event()):
        tables = uvloop.run(measure(settings, samples, pictures))
    with running_mesh(settings.model_copy(update={"traces": True}), threading.Event()):
        tables.append(uvloop.run(traced(settings, samples, traces)))
    Console().print(*tables, sep="\n")


if __name__ == "__main__":
    typer.run(main)
