"""Vision without gRPC: every unary RPC as JSON over HTTP, and from a browser."""

from __future__ import annotations

import base64
import http.client
import io
import json
import secrets
import struct
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from maas.type.v1 import media_pb2
from maas.vision.v1 import face_pb2
from maas.vision.v1 import vision_pb2 as pb

SAMPLES = Path(__file__).parents[2] / ".build/samples"
VISION = "maas.vision.v1.VisionService"
ORIGIN = "http://localhost:3000"


def picture(name: str) -> dict[str, str]:
    """An image of a JSON request."""
    return {"content": base64.b64encode((SAMPLES / name).read_bytes()).decode()}


@pytest.fixture
def ask(mesh):
    """Sends a request to the gateway: HTTP status, headers and body."""

    def send(method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", mesh.port, timeout=60)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    return send


@pytest.fixture
def post(ask):
    """Calls an RPC: HTTP status and JSON."""

    def call(rpc: str, request: object, **headers: str) -> tuple[int, Any]:
        body = json.dumps(request).encode()
        status, _, answer = ask("POST", f"/v1/vision:{rpc}", body, content_type="application/json", **headers)
        return status, json.loads(answer)

    return call


# RPC -> its request, and what must be true of the answer.
CALLS = {
    "embedImage": (
        lambda: {"image": picture("coffee.png")},
        lambda answer: len(answer["embedding"]) == 1280 and answer["modelVersion"],
    ),
    "detectObjects": (
        lambda: {"image": picture("motorcycle.png"), "tiling": "TILING_OFF", "minScore": 0.5},
        lambda answer: answer["objects"][0]["name"] == "motorcycle" and answer["imageWidth"] > 0,
    ),
    "recognizeText": (
        lambda: {"image": picture("portrait.png")},
        lambda answer: isinstance(answer["lines"], list) and answer["imageWidth"] == 512,
    ),
    "detectFaces": (
        lambda: {"image": picture("portrait.png"), "attributes": ["FACE_ATTRIBUTE_AGE"]},
        lambda answer: len(answer["faces"]) == 1 and answer["faces"][0]["ageYears"] > 0,
    ),
    "verifyFace": (
        lambda: {"image": picture("obama-portrait.jpg"), "otherImage": picture("obama-speaking.jpg")},
        lambda answer: answer["samePerson"] is True and answer["distance"] < answer["threshold"],
    ),
    "annotateImage": (
        lambda: {
            "image": picture("portrait.png"),
            "features": [{"feature": "IMAGE_FEATURE_PERSON_MASK"}, {"feature": "IMAGE_FEATURE_SAFETY"}],
        },
        lambda answer: (
            opened(answer["annotation"]["personMask"]["png"]).mode == "L"
            and answer["annotation"]["safety"]["unsafeScore"] < 0.5
        ),
    ),
    "batchAnnotateImages": (
        lambda: {
            "images": [picture("coffee.png"), {"content": "bm8gcGljdHVyZQ=="}],
            "features": [{"feature": "IMAGE_FEATURE_LABELS", "maxResults": 1}],
        },
        lambda answer: (
            ["annotation" in each for each in answer["results"]] == [True, False]
            and len(answer["results"][0]["annotation"]["labels"]) == 1
            and answer["results"][1]["status"]["code"] == 3
        ),
    ),
    "redactImage": (
        lambda: {"image": picture("portrait.png"), "faces": True, "method": "REDACTION_METHOD_BLUR"},
        lambda answer: opened(answer["content"]).size == (512, 512) and answer["mediaType"] == "image/png",
    ),
}


def opened(content: str) -> Image.Image:
    """A picture of a JSON answer."""
    return Image.open(io.BytesIO(base64.b64decode(content)))


@pytest.mark.parametrize("rpc", CALLS)
def test_a_call_as_json(post, rpc):
    """Pictures go in and come out as base64, enums by their names."""
    request, right = CALLS[rpc]
    status, answer = post(rpc, request())
    assert status == 200, answer
    assert right(answer)


def test_the_gallery_as_json(ask, post):
    """Whose gallery is meant stands in the header maas-tenant; a list is asked for by GET."""
    tenant = {"maas_tenant": f"test-{secrets.token_hex(8)}"}
    status, enrolled = post("enrollFace", {"image": picture("portrait.png"), "personId": "eileen"}, **tenant)
    assert status == 200, enrolled
    _, found = post("identifyFace", {"image": picture("portrait.png")}, **tenant)
    assert found["candidates"][0]["face"]["personId"] == "eileen"
    assert found["gallerySize"] == "1"
    for wanted, expected in (("personId=eileen", [enrolled["face"]["faceId"]]), ("personId=nobody&pageSize=3", [])):
        status, _, body = ask("GET", f"/v1/vision/faces?{wanted}", **tenant)
        assert status == 200
        assert [face["faceId"] for face in json.loads(body)["faces"]] == expected
    _, others = post("identifyFace", {"image": picture("portrait.png")}, maas_tenant=f"test-{secrets.token_hex(8)}")
    assert others["gallerySize"] == "0"
    assert post("deleteFace", {"personId": "eileen"}, **tenant) == (200, {"deletedCount": 1, "requestId": ""})
    status, error = post("deleteFace", {"personId": "eileen"}, **tenant)
    assert (status, error["details"][0]["reason"]) == (404, "PERSON_NOT_FOUND")


def test_the_models_as_json(ask):
    """GET tells which models there are."""
    status, _, body = ask("GET", "/v1/vision/config")
    assert status == 200
    assert {"face-detection", "text-recognition"} <= {model["task"] for model in json.loads(body)["models"]}


@pytest.mark.parametrize(
    ("rpc", "request_", "field"),
    [
        ("detectFaces", {}, "image.content"),
        ("detectFaces", {"image": {"content": "bm8gcGljdHVyZQ=="}}, "image.content"),
        ("verifyFace", {"image": {"content": "bm8gcGljdHVyZQ=="}, "maxDistance": 3}, "max_distance"),
        ("annotateImage", {"image": {"content": "bm8gcGljdHVyZQ=="}}, "features"),
        ("redactImage", {"image": {"content": "bm8gcGljdHVyZQ=="}}, "boxes"),
        ("deleteFace", {}, "face_id"),
    ],
)
def test_an_error_as_json(post, rpc, request_, field):
    """What is wrong is told with its field."""
    status, error = post(rpc, request_)
    assert status == 400
    assert [each["field"] for each in error["details"][1]["fieldViolations"]] == [field]
    assert error["message"] == f"{field}: {error['details'][1]['fieldViolations'][0]['description']}"


@pytest.mark.parametrize("body", [b'{"image": {"content": "no base64!"}}', b'{"picture": {}}', b"{"])
def test_a_body_that_cannot_be_read(ask, body):
    """What is no JSON of this request is refused."""
    status, *_ = ask("POST", "/v1/vision:classifyImage", body, content_type="application/json")
    assert status == 400


def test_from_a_browser(ask):
    """A page may call with gRPC-Web, and may say whose gallery it means."""
    wanted = {"access_control_request_method": "POST", "access_control_request_headers": "maas-tenant,x-grpc-web"}
    path = f"/{VISION}/AnnotateImage"
    status, headers, _ = ask("OPTIONS", path, origin=ORIGIN, **wanted)
    assert status == 200
    assert "maas-tenant" in headers["access-control-allow-headers"]
    web = {"content_type": "application/grpc-web+proto", "x_grpc_web": "1", "origin": ORIGIN}
    image = media_pb2.Image(content=(SAMPLES / "coffee.png").read_bytes())
    features = [pb.ImageFeatureRequest(feature=pb.IMAGE_FEATURE_LABELS)]
    annotated = ask("POST", path, framed(pb.AnnotateImageRequest(image=image, features=features)), **web)
    assert len(pb.AnnotateImageResponse.FromString(message(annotated)).annotation.labels) == 5
    listed = ask("POST", f"/{VISION}/ListFaces", framed(face_pb2.ListFacesRequest()), maas_tenant="No Tenant", **web)
    assert b"grpc-status:3" in listed[2] or listed[1]["grpc-status"] == "3"


def framed(request: Any) -> bytes:
    """A message as gRPC-Web sends it."""
    content = request.SerializeToString()
    return b"\0" + struct.pack(">I", len(content)) + content


def message(answer: tuple[int, Any, bytes]) -> bytes:
    """The message of an answer that went well."""
    status, headers, body = answer
    assert status == 200
    assert headers["access-control-allow-origin"] == ORIGIN
    (length,) = struct.unpack_from(">I", body, 1)
    assert b"grpc-status:0" in body[5 + length :]
    return body[5 : 5 + length]
