"""One call is one trace: who called whom, seen in the real tracing UI after real calls through the real gateway."""

from __future__ import annotations

import json
import secrets
import urllib.request

import grpc
import pytest

from maas.type.v1 import media_pb2
from maas.vision.v1 import face_pb2, video_pb2, vision_pb2, vision_pb2_grpc
from services.cli.waterfall import Span, fetch
from tests.e2e.edges import CANARY, CASES, INFER, PREPROCESSING, ROUTER, VISION


def missing(spans: list[Span], chains: list[list[tuple[str, str]]]) -> list[list[tuple[str, str]]]:
    """The chains that the trace does not have."""

    def has(chain: list[tuple[str, str]], parents: list[Span] | None) -> bool:
        (service, name), *below = chain
        found = [
            span
            for span in spans
            if (span.service, span.name) == (service, name)
            and (parents is None or span.parent_id in {parent.span_id for parent in parents})
        ]
        return bool(found) and (not below or has(below, found))

    return [chain for chain in chains if not has(chain, None)]


@pytest.fixture(scope="module")
def channel(mesh):
    with grpc.insecure_channel(mesh.address) as opened:
        yield opened


@pytest.fixture
def ui(mesh):
    return f"127.0.0.1:{mesh.ports.tracing_http}"


@pytest.mark.parametrize("call", CASES)
def test_the_trace_has_its_edges(channel, ui, mesh, wait_for, call):
    """Each parent has its child, from the caller's span to Triton's execution; nothing that was sent is recorded."""
    case = CASES[call]
    trace_id, caller = secrets.token_hex(16), secrets.token_hex(8)
    made = case.call(channel, [("traceparent", f"00-{trace_id}-{caller}-01")])
    assert made.code() is (case.fails or grpc.StatusCode.OK)
    spans: list[Span] = []

    def complete() -> bool:
        spans[:] = fetch(ui, trace_id)
        return not missing(spans, case.edges)

    try:
        wait_for(complete, "all edges are there", 20)
    except AssertionError:
        pytest.fail(f"missing: {missing(spans, case.edges)}")
    assert [span.service for span in spans if span.parent_id == caller] == ["gateway"]
    # What graphs have as a way out may be taken: a fallback, an optional node.
    assert case.fails or case.method.startswith(ROUTER) or not any(span.failed for span in spans)
    assert_not_recorded(mesh, ui, trace_id)


def test_an_error_is_marked_where_it_happened(channel, ui, wait_for):
    """A call with an unreadable picture has INVALID_ARGUMENT on preprocessing's span, and on those above it."""
    trace_id = secrets.token_hex(16)
    request = vision_pb2.ClassifyImageRequest(image=media_pb2.Image(content=b"no picture"))
    with pytest.raises(grpc.RpcError) as caught:
        vision_pb2_grpc.VisionServiceStub(channel).ClassifyImage(
            request, timeout=30, metadata=[("traceparent", f"00-{trace_id}-{secrets.token_hex(8)}-01")]
        )
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    wait_for(
        lambda: {span.service for span in fetch(ui, trace_id)} >= {"gateway", "vision", "preprocessing"}, "spans", 20
    )
    found = json.loads(query(ui, trace_id))["traces"][0]["spans"]
    codes = {
        (span["attributes"]["service.name"], span["kind"]): span["attributes"].get("rpc.response.status_code")
        for span in found
    }
    assert codes["preprocessing", "SERVER"] == codes["vision", "CLIENT"] == codes["vision", "SERVER"]
    assert codes["vision", "SERVER"] == "INVALID_ARGUMENT"
    assert next(span["status"]["code"] for span in found if span["kind"] == "CLIENT") == "ERROR"


def query(ui, trace_id):
    body = json.dumps({"query": f"trace_id = {trace_id}", "limit": 1}).encode()
    asked = urllib.request.Request(
        f"http://{ui}/api/query/traces", data=body, headers={"content-type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return answer.read().decode()


def test_a_picture_is_decoded_once_for_all_features(channel, ui, wait_for):
    """AnnotateImage asks preprocessing once, and two models."""
    trace_id = secrets.token_hex(16)
    CASES["annotate"].call(channel, [("traceparent", f"00-{trace_id}-{secrets.token_hex(8)}-01")])
    wait_for(lambda: not missing(fetch(ui, trace_id), CASES["annotate"].edges), "all edges are there", 20)
    names = [(span.service, span.name) for span in fetch(ui, trace_id)]
    assert names.count(("preprocessing", f"{PREPROCESSING}/RenderImage")) == 1
    assert names.count(("vision", INFER)) == 2


def test_a_video_is_one_span(channel, ui, wait_for):
    """The span of a stream lasts as long as it, and says when the first answer came and how many frames there were."""
    trace_id = secrets.token_hex(16)
    CASES["video"].call(channel, [("traceparent", f"00-{trace_id}-{secrets.token_hex(8)}-01")])
    wait_for(lambda: not missing(fetch(ui, trace_id), CASES["video"].edges), "all edges are there", 20)
    spans = json.loads(query(ui, trace_id))["traces"][0]["spans"]
    name = f"{VISION}/StreamingAnnotateVideo"
    (stream,) = [span for span in spans if (span["name"], span["attributes"]["service.name"]) == (name, "vision")]
    assert stream["attributes"]["maas.video.frames_analyzed"] == 10
    assert [event["name"] for event in stream["events"]] == ["first answer", "first response"]
    children = [span for span in spans if span.get("parentSpanId") == stream["spanId"]]
    assert [span["name"] for span in children].count("frame") == 10
    assert all(stream["startTime"] <= span["startTime"] <= span["endTime"] <= stream["endTime"] for span in children)


def assert_not_recorded(mesh, ui, trace_id):
    """Nothing that was sent is in the trace or in any log, and logs there are."""
    found = json.loads(query(ui, trace_id))["traces"][0]["spans"]
    for span in found:
        # Envoy records the text of errors, which may name what was asked for, and cannot be told not to; the collector
        # on Kubernetes leaves it out.
        if span["attributes"]["service.name"] == "gateway":
            span["attributes"].pop("grpc.message", None)
    assert [(span["name"], key) for span in found for key, value in span.items() if CANARY in json.dumps(value)] == []
    logs = [path for path in mesh.run_directory.rglob("*.log*") if path.is_file()]
    assert any(trace_id in path.read_text(errors="replace") for path in logs)
    assert not [path.name for path in logs if CANARY in path.read_text(errors="replace")]


def refused(channel, call, metadata):
    """A call with a name of the caller's own that fails, or finds nothing."""
    vision = vision_pb2_grpc.VisionServiceStub(channel)
    classes = video_pb2.VideoConfig(features=[video_pb2.VIDEO_FEATURE_OBJECTS], object_names=[CANARY])
    place = media_pb2.Image(uri=f"https://example.com/{CANARY}?signature={CANARY}")
    rpc, request = {
        "person": (vision.DeleteFace, face_pb2.DeleteFaceRequest(person_id=CANARY)),
        "address": (vision.ClassifyImage, vision_pb2.ClassifyImageRequest(image=place)),
        "class": (
            lambda requests, **options: list(vision.StreamingAnnotateVideo(requests, **options)),
            iter([video_pb2.StreamingAnnotateVideoRequest(config=classes)]),
        ),
    }[call]
    with pytest.raises(grpc.RpcError) as caught:
        rpc(request, timeout=30, metadata=metadata)
    assert caught.value.code() in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT}


@pytest.mark.parametrize("call", ["person", "address", "class"])
def test_nothing_of_a_refused_request_is_recorded(channel, ui, mesh, wait_for, call):
    """Nor are a person's name, an address and the name of a class, of which something was wrong."""
    trace_id = secrets.token_hex(16)
    refused(channel, call, [("traceparent", f"00-{trace_id}-{secrets.token_hex(8)}-01")])
    wait_for(lambda: {span.service for span in fetch(ui, trace_id)} >= {"gateway", "vision"}, "spans", 20)
    assert_not_recorded(mesh, ui, trace_id)


def test_nothing_of_a_query_is_recorded(ui, mesh, wait_for):
    """A person's name in the query of an HTTP request is in no span and in no log either."""
    trace_id = secrets.token_hex(16)
    asked = urllib.request.Request(
        f"http://{mesh.address}/v1/vision/faces?personId={CANARY}",
        headers={"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"},
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        assert json.load(answer)["faces"] == []
    wait_for(lambda: {span.service for span in fetch(ui, trace_id)} >= {"gateway", "vision"}, "spans", 20)
    assert_not_recorded(mesh, ui, trace_id)
