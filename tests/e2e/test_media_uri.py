"""Pictures and recordings by address: services that may read from a web server of this test, on the shared Triton."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from deploy.local.processes import SERVICES, Process, processes
from deploy.local.settings import LocalSettings
from maas.speech.v1 import speech_pb2, speech_pb2_grpc
from maas.type.v1 import media_pb2
from maas.vision.v1 import face_pb2, vision_pb2_grpc
from maas.vision.v1 import vision_pb2 as pb
from services.cli.waterfall import fetch
from tests.e2e.conftest import free_base
from tests.e2e.media_site import SAMPLES, Site, web_server

SECONDS = 60
START_SECONDS = 60
# In every address, as a signature would be; it is told to nobody.
CANARY = f"signature-{secrets.token_hex(8)}"
INVALID = grpc.StatusCode.INVALID_ARGUMENT
PREPROCESSING = "maas.preprocessing.v1.PreprocessingService"


@dataclass
class Place:
    """Where things lie, the services that may read them, and what they wrote."""

    port: int
    channels: dict[str, grpc.Channel] = field(default_factory=dict)
    logs: list[Path] = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}{name}?signature={CANARY}"

    @property
    def vision(self) -> vision_pb2_grpc.VisionServiceStub:
        return vision_pb2_grpc.VisionServiceStub(self.channels["vision"])

    @property
    def speech(self) -> speech_pb2_grpc.SpeechServiceStub:
        return speech_pb2_grpc.SpeechServiceStub(self.channels["speech"])

    def classify(self, name: str, **options: Any) -> pb.ClassifyImageResponse:
        request = pb.ClassifyImageRequest(image=media_pb2.Image(uri=self[name]))
        return self.vision.ClassifyImage(request, timeout=SECONDS, **options)


@contextmanager
def running(command: tuple[str, ...], environment: dict[str, str], log: Path) -> Iterator[None]:
    """A process, until the end of the block."""
    with log.open("wb") as file, subprocess.Popen(command, env=environment, stdout=file, stderr=file) as process:
        try:
            yield
        finally:
            process.terminate()


def environment(process: Process, mesh: Any, port: int) -> dict[str, str]:
    """What a process is told: as in the mesh, but it may read addresses, and it asks the mesh's own Triton.

    Pictures are read by preprocessing, recordings by speech itself, so that both ways are gone.
    """
    prefix = process.name.upper()
    told = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "MAAS_"))},
        **process.environment,
        f"{prefix}_TRITON_ADDRESS": f"127.0.0.1:{mesh.ports.triton_grpc}",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{mesh.ports.tracing_grpc}",
        # There is none; somewhere else the gallery has a test of its own.
        "VISION_GALLERY_URL": "",
    }
    if process.name == "vision":
        return told
    return told | {
        f"{prefix}_PREPROCESSING_ADDRESS": "in-process",
        f"{prefix}_ASSETS_DIRECTORY": str(mesh.settings.build / "assets"),
        f"{prefix}_MEDIA_SOURCES": f"http://127.0.0.1:{port}/photos/, http://127.0.0.1:1/",
        f"{prefix}_MEDIA_PRIVATE_NETWORKS": "true",
        f"{prefix}_MEDIA_SECONDS": "2",
    }


@pytest.fixture(scope="module")
def place(mesh, tmp_path_factory) -> Iterator[Place]:
    """The site and three services, ready."""
    directory = tmp_path_factory.mktemp("uri")
    settings = LocalSettings(
        port=free_base(), run_directory=directory, build_directory=mesh.settings.build, traces=True
    )
    with ExitStack() as stack:
        found = Place(stack.enter_context(web_server()))
        for process in processes(settings):
            if process.name in {"preprocessing", "vision", "speech"}:
                found.logs.append(directory / f"{process.name}.log")
                told = environment(process, mesh, found.port)
                stack.enter_context(running(process.command, told, found.logs[-1]))
                channel = grpc.insecure_channel(f"127.0.0.1:{process.port}")
                found.channels[process.name] = stack.enter_context(channel)
        yield found


@pytest.fixture(scope="module")
def ready(place, wait_for) -> Place:
    """The same, once the services can do their work."""

    def serving(name: str) -> bool:
        request = health_pb2.HealthCheckRequest(service=SERVICES[name][0])
        try:
            answer = health_pb2_grpc.HealthStub(place.channels[name]).Check(request, wait_for_ready=True, timeout=5)
        except grpc.RpcError:
            return False
        return answer.status == health_pb2.HealthCheckResponse.SERVING

    wait_for(lambda: all(map(serving, place.channels)), "the services are ready", START_SECONDS)
    return place


def failure(call: Callable[[], object]) -> tuple[grpc.StatusCode, str, list[Any]]:
    """Code and sentence of a call that must fail, and its details: none tells more of an address than its host."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error = caught.value
    assert CANARY not in str(error)
    kinds = {"ErrorInfo": error_details_pb2.ErrorInfo, "BadRequest": error_details_pb2.BadRequest}
    kinds["RetryInfo"] = error_details_pb2.RetryInfo
    details = [
        kinds[detail.type_url.rpartition(".")[2]].FromString(detail.value)
        for detail in rpc_status.from_call(error).details
    ]
    return error.code(), error.details(), details


def test_a_picture_by_address(ready):
    """It is classified as if its bytes had been sent; redirects to another allowed place are followed."""
    by_bytes = pb.ClassifyImageRequest(image=media_pb2.Image(content=(SAMPLES / "coffee.png").read_bytes()))
    expected = ready.vision.ClassifyImage(by_bytes, timeout=SECONDS)
    for name in ("/photos/coffee.png", "/photos/moved.png"):
        assert ready.classify(name).labels == expected.labels


def test_a_recording_by_address(ready):
    """It is recognised, by a service that has preprocessing in its own process."""
    request = speech_pb2.RecognizeRequest(audio=media_pb2.Audio(uri=ready["/photos/ask-not.wav"]))
    assert "country" in ready.speech.Recognize(request, timeout=SECONDS).transcript


def test_pictures_by_both_ways(ready):
    """In one request some pictures may be sent and others named; one that cannot be read fails alone."""
    photos = [
        media_pb2.Image(uri=ready["/photos/coffee.png"]),
        media_pb2.Image(uri=ready["/photos/none.png"]),
        media_pb2.Image(uri=ready["/secret/coffee.png"]),
        media_pb2.Image(content=(SAMPLES / "coffee.png").read_bytes()),
    ]
    features = [pb.ImageFeatureRequest(feature=pb.IMAGE_FEATURE_LABELS)]
    request = pb.BatchAnnotateImagesRequest(images=photos, features=features)
    results = ready.vision.BatchAnnotateImages(request, timeout=SECONDS).results
    assert [each.status.code for each in results] == [0, grpc.StatusCode.NOT_FOUND.value[0], INVALID.value[0], 0]
    assert results[0].annotation.labels == results[3].annotation.labels
    assert results[2].status.message == "images[2].uri: names a place that the operator does not allow"
    verify = face_pb2.VerifyFaceRequest(
        image=media_pb2.Image(uri=ready["/photos/obama-portrait.jpg"]),
        other_image=media_pb2.Image(uri=ready["/photos/obama-speaking.jpg"]),
    )
    assert ready.vision.VerifyFace(verify, timeout=SECONDS).same_person


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/secret/coffee.png", "names a place that the operator does not allow"),
        ("/photos/../secret/coffee.png", 'takes a path without "." and ".." as steps'),
        ("/photos/moved-away.png", "is redirected to a place that the operator does not allow"),
        ("/photos/too-large.png", "leads to more than 20971520 bytes"),
        ("/photos/empty.png", "leads to 0 bytes"),
        ("/photos/401", "is refused by http://127.0.0.1 (401)"),
    ],
)
def test_what_cannot_be_read(ready, path, said):
    """The caller is told which field and why, and nothing that only who may read there should know."""
    code, _, (_, bad) = failure(lambda: ready.classify(path))
    assert code is INVALID
    assert [(each.field, each.description) for each in bad.field_violations] == [("image.uri", said)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cut.png", "is damaged or incomplete"),
        ("ask-not.wav", "is none of BMP, GIF, JPEG, PNG, TIFF, WEBP, or damaged"),
    ],
)
def test_what_is_no_picture(ready, name, said):
    """What lies there is judged as if it had been sent."""
    code, _, (_, bad) = failure(lambda: ready.classify(f"/photos/{name}"))
    assert code is INVALID
    assert [each.description for each in bad.field_violations] == [said]


def test_nothing_there(ready):
    """NOT_FOUND, with a reason for programs."""
    code, said, (info,) = failure(lambda: ready.classify("/photos/none.png"))
    assert code is grpc.StatusCode.NOT_FOUND
    assert said == "http://127.0.0.1 has nothing at that address"
    assert info.reason == "MEDIA_NOT_FOUND"


@pytest.mark.parametrize("path", ["/photos/silence", "/photos/500", "nobody"])
def test_no_answer(ready, path):
    """A place that says nothing, that fails, or where nobody listens: UNAVAILABLE, and when to try again.

    The place itself is asked once, since nobody here may make others' trouble worse.
    """

    def call() -> object:
        if path != "nobody":
            return ready.classify(path)
        request = pb.ClassifyImageRequest(image=media_pb2.Image(uri=f"http://127.0.0.1:1/{CANARY}"))
        return ready.vision.ClassifyImage(request, timeout=SECONDS)

    Site.asked.clear()
    code, said, (info, retry) = failure(call)
    assert len(Site.asked) == (path != "nobody")
    assert code is grpc.StatusCode.UNAVAILABLE
    assert said == "http://127.0.0.1 does not answer; try again shortly"
    assert info.reason == "MEDIA_UNAVAILABLE"
    assert retry.retry_delay.seconds >= 1


def test_an_address_is_told_to_nobody(mesh, ready, wait_for):
    """Neither a span nor a log has it, whether it could be read or not."""
    ui, fetched = f"127.0.0.1:{mesh.ports.tracing_http}", f"{PREPROCESSING}/FetchMedia"

    def both_there(trace_id: str) -> bool:
        return [span.name for span in fetch(ui, trace_id)].count(fetched) == 2

    for name in ("coffee.png", "none.png"):
        trace_id = secrets.token_hex(16)
        metadata = [("traceparent", f"00-{trace_id}-{secrets.token_hex(8)}-01")]
        with suppress(grpc.RpcError):
            ready.classify(f"/photos/{name}", metadata=metadata)
        wait_for(partial(both_there, trace_id), "the spans of who asked and of who read", 20)
        query = json.dumps({"query": f"trace_id = {trace_id}", "limit": 1}).encode()
        asked = urllib.request.Request(f"http://{ui}/api/query/traces", query, {"content-type": "application/json"})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            spans = answer.read().decode()
        assert fetched in spans
        assert CANARY not in spans
    logs = [path.read_text() for path in ready.logs]
    assert any("FetchMedia" in log for log in logs)
    assert not any(CANARY in log for log in logs)


def test_no_place_is_allowed(mesh):
    """Unless the operator names places none is read, and the error says what to do."""
    with grpc.insecure_channel(mesh.address) as channel:
        vision = vision_pb2_grpc.VisionServiceStub(channel)
        request = pb.ClassifyImageRequest(image=media_pb2.Image(uri=f"https://example.com/{CANARY}.png"))
        code, _, (_, bad) = failure(lambda: vision.ClassifyImage(request, timeout=SECONDS))
    assert code is INVALID
    assert [(each.field, each.description) for each in bad.field_violations] == [
        ("image.uri", "is not taken here, since the operator allows no places (MEDIA_SOURCES); send the bytes instead")
    ]


def test_no_gallery(ready):
    """Without a key the gallery is closed, and its RPCs say so."""
    code, said, (info,) = failure(lambda: ready.vision.ListFaces(face_pb2.ListFacesRequest(), timeout=SECONDS))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert info.reason == "GALLERY_DISABLED"
    assert said == "the operator has given the gallery of faces no key to encrypt it with"
