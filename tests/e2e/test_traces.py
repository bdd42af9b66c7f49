"""One call is one trace: who called whom, seen in the real tracing UI after real calls through the real gateway."""

from __future__ import annotations

import json
import secrets
import urllib.request
from pathlib import Path

import grpc
import pytest

from maas.nlp.v1 import conversation_pb2, nlp_pb2, nlp_pb2_grpc
from maas.router.v1 import router_pb2, router_pb2_grpc
from maas.speech.v1 import speech_pb2, speech_pb2_grpc, synthesis_pb2
from maas.type.v1 import media_pb2
from maas.vision.v1 import face_pb2, redaction_pb2, video_pb2, vision_pb2, vision_pb2_grpc
from services.cli.waterfall import Span, fetch
from tests.unit.preprocessing.video.films import FASTSTART, film, plain

SAMPLES = Path(__file__).parents[2] / ".build/samples"
PHOTO, PORTRAIT = "coffee.png", "portrait.png"
RECORDING = "ask-not.wav"
# Sent in texts, and looked for in everything that was recorded.
CANARY = "xyzzy-plugh-canary"

PREPROCESSING = "maas.preprocessing.v1.PreprocessingService"
NLP, VISION, SPEECH = "maas.nlp.v1.NlpService", "maas.vision.v1.VisionService", "maas.speech.v1.SpeechService"
INFER = "inference.GRPCInferenceService/ModelInfer"
STREAM = "inference.GRPCInferenceService/ModelStreamInfer"


def served(service: str, method: str, preparation: str | None) -> list[list[tuple[str, str]]]:
    """What hangs below a call of a service: preparation of its input, and a model's queue and execution."""
    call = (service, method)
    edges = [[call, (service, INFER), ("triton", f"triton {stage}")] for stage in ("queue", "compute")]
    if preparation:
        prepare = f"{PREPROCESSING}/{preparation}"
        edges.append([call, (service, prepare), ("preprocessing", prepare)])
    return edges


def through_gateway(service: str, method: str, preparation: str | None) -> list[list[tuple[str, str]]]:
    """The same, called from outside."""
    return [[("gateway", method), *edges] for edges in served(service, method, preparation)]


def called(graph_node: str, method: str) -> list[tuple[str, str]]:
    """What stands above a call by a node of a graph."""
    run = "maas.router.v1.RouterService/RunGraph"
    return [("gateway", run), ("router", run), ("router", f"node {graph_node}"), ("router", method)]


def node(graph_node: str, service: str, method: str, preparation: str | None) -> list[list[tuple[str, str]]]:
    """The same, called by a node of a graph."""
    return [[*called(graph_node, method), *edges] for edges in served(service, method, preparation)]


# Call -> chains of (service, span) in which each span is the parent of the next.
EDGES = {
    "sentiment": through_gateway("nlp", f"{NLP}/AnalyzeSentiment", "TokenizeText"),
    "embed": through_gateway("nlp", f"{NLP}/EmbedText", "TokenizeText"),
    "reply": [[("gateway", f"{NLP}/GenerateReply"), ("nlp", f"{NLP}/GenerateReply"), ("nlp", STREAM)]],
    "classify": through_gateway("vision", f"{VISION}/ClassifyImage", "RenderImage"),
    "detect": through_gateway("vision", f"{VISION}/DetectObjects", "RenderImage"),
    "annotate": through_gateway("vision", f"{VISION}/AnnotateImage", "RenderImage"),
    "faces": through_gateway("vision", f"{VISION}/DetectFaces", "RenderImage"),
    "redact": [
        *through_gateway("vision", f"{VISION}/RedactImage", "RenderImage"),
        *through_gateway("vision", f"{VISION}/RedactImage", "RedactImage")[2:],
    ],
    "enroll": through_gateway("vision", f"{VISION}/EnrollFace", "RenderImage"),
    # One span for the whole stream; its frames are decoded in one call, and each is looked at in one.
    "video": through_gateway("vision", f"{VISION}/StreamingAnnotateVideo", "ExtractFrames"),
    "recognize": through_gateway("speech", f"{SPEECH}/Recognize", "StreamingConvertAudio"),
    "synthesize": through_gateway("speech", f"{SPEECH}/SynthesizeSpeech", None),
    "look-twice": [
        *node("classify", "vision", f"{VISION}/ClassifyImage", "RenderImage"),
        *node("detect", "vision", f"{VISION}/DetectObjects", "RenderImage"),
    ],
    "hear-and-judge": [
        *node("hear", "speech", f"{SPEECH}/Recognize", "StreamingConvertAudio"),
        # No further: what was said there may have been judged before, and come from the cache.
        [*called("judge", f"{NLP}/AnalyzeSentiment"), ("nlp", f"{NLP}/AnalyzeSentiment")],
    ],
}


def run(channel, call, metadata):
    """One of the calls of the table."""
    photo, recording = (SAMPLES / PHOTO).read_bytes(), (SAMPLES / RECORDING).read_bytes()
    image, audio = media_pb2.Image(content=photo), media_pb2.Audio(content=recording)
    nlp, vision = nlp_pb2_grpc.NlpServiceStub(channel), vision_pb2_grpc.VisionServiceStub(channel)
    speech, router = speech_pb2_grpc.SpeechServiceStub(channel), router_pb2_grpc.RouterServiceStub(channel)
    value = router_pb2.Value
    # New each time, so that no answer comes from the cache.
    text = f"{CANARY} {secrets.token_hex(8)}"
    said = conversation_pb2.ChatMessage(role=conversation_pb2.ROLE_USER, content=f"Repeat this: {text}")
    features = [
        vision_pb2.ImageFeatureRequest(feature=vision_pb2.IMAGE_FEATURE_LABELS),
        vision_pb2.ImageFeatureRequest(feature=vision_pb2.IMAGE_FEATURE_OBJECTS),
    ]
    portrait = media_pb2.Image(content=(SAMPLES / PORTRAIT).read_bytes())
    person = f"{CANARY} {secrets.token_hex(8)}"
    attributes = [face_pb2.FACE_ATTRIBUTE_AGE, face_pb2.FACE_ATTRIBUTE_EXPRESSION, face_pb2.FACE_ATTRIBUTE_EMBEDDING]
    brief = conversation_pb2.GenerationParameters(max_tokens=8)
    method, request = {
        "sentiment": (nlp.AnalyzeSentiment, nlp_pb2.AnalyzeSentimentRequest(contents=[text])),
        "embed": (nlp.EmbedText, nlp_pb2.EmbedTextRequest(contents=[text])),
        "reply": (nlp.GenerateReply, conversation_pb2.GenerateReplyRequest(messages=[said], parameters=brief)),
        "classify": (vision.ClassifyImage, vision_pb2.ClassifyImageRequest(image=image)),
        "detect": (vision.DetectObjects, vision_pb2.DetectObjectsRequest(image=image)),
        "annotate": (vision.AnnotateImage, vision_pb2.AnnotateImageRequest(image=image, features=features)),
        "faces": (vision.DetectFaces, face_pb2.DetectFacesRequest(image=portrait, attributes=attributes)),
        "redact": (vision.RedactImage, redaction_pb2.RedactImageRequest(image=portrait, faces=True)),
        "enroll": (vision.EnrollFace, face_pb2.EnrollFaceRequest(image=portrait, person_id=person)),
        "video": (lambda requests, **options: list(vision.StreamingAnnotateVideo(requests, **options)), video()),
        "recognize": (speech.Recognize, speech_pb2.RecognizeRequest(audio=audio)),
        "synthesize": (speech.SynthesizeSpeech, synthesis_pb2.SynthesizeSpeechRequest(text=CANARY)),
        "look-twice": (
            router.RunGraph,
            router_pb2.RunGraphRequest(graph="look-twice", inputs={"photo": value(data=photo)}),
        ),
        "hear-and-judge": (
            router.RunGraph,
            router_pb2.RunGraphRequest(graph="hear-and-judge", inputs={"recording": value(data=recording)}),
        ),
    }[call]
    return method(request, timeout=60, metadata=metadata)


def video():
    """A video of two shots, a second each."""
    pictures = [plain(200, 30, 30)] * 10 + [plain(30, 30, 200)] * 10
    config = video_pb2.VideoConfig(features=[video_pb2.VIDEO_FEATURE_OBJECTS, video_pb2.VIDEO_FEATURE_SHOT_CHANGES])
    yield video_pb2.StreamingAnnotateVideoRequest(config=config)
    yield video_pb2.StreamingAnnotateVideoRequest(content=film(pictures, muxer=FASTSTART))


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


@pytest.mark.parametrize("call", EDGES)
def test_the_trace_has_its_edges(channel, ui, wait_for, call):
    """From the caller's own span to Triton's queue and execution, each parent has its child."""
    trace_id, caller = secrets.token_hex(16), secrets.token_hex(8)
    run(channel, call, [("traceparent", f"00-{trace_id}-{caller}-01")])
    spans: list[Span] = []

    def complete() -> bool:
        spans[:] = fetch(ui, trace_id)
        return not missing(spans, EDGES[call])

    try:
        wait_for(complete, "all edges are there", 20)
    except AssertionError:
        pytest.fail(f"missing: {missing(spans, EDGES[call])}")
    assert [span.service for span in spans if span.parent_id == caller] == ["gateway"]
    assert not any(span.failed for span in spans)


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
    run(channel, "annotate", [("traceparent", f"00-{trace_id}-{secrets.token_hex(8)}-01")])
    wait_for(lambda: not missing(fetch(ui, trace_id), EDGES["annotate"]), "all edges are there", 20)
    names = [(span.service, span.name) for span in fetch(ui, trace_id)]
    assert names.count(("preprocessing", f"{PREPROCESSING}/RenderImage")) == 1
    assert names.count(("vision", INFER)) == 2


def test_a_video_is_one_span(channel, ui, wait_for):
    """The span of a stream lasts as long as it, and says when the first answer came and how many frames there were."""
    trace_id = secrets.token_hex(16)
    run(channel, "video", [("traceparent", f"00-{trace_id}-{secrets.token_hex(8)}-01")])
    wait_for(lambda: not missing(fetch(ui, trace_id), EDGES["video"]), "all edges are there", 20)
    spans = json.loads(query(ui, trace_id))["traces"][0]["spans"]
    name = f"{VISION}/StreamingAnnotateVideo"
    (stream,) = [span for span in spans if (span["name"], span["attributes"]["service.name"]) == (name, "vision")]
    assert stream["attributes"]["maas.video.frames_analyzed"] == 10
    assert [event["name"] for event in stream["events"]] == ["first answer"]
    children = [span for span in spans if span.get("parentSpanId") == stream["spanId"]]
    assert [span["name"] for span in children].count(INFER) == 10
    assert all(stream["startTime"] <= span["startTime"] <= span["endTime"] <= stream["endTime"] for span in children)


@pytest.mark.parametrize("call", ["sentiment", "embed", "reply", "synthesize", "enroll"])
def test_nothing_of_the_payload_is_recorded(channel, ui, mesh, wait_for, call):
    """A text that was sent is in no span and in no log."""
    trace_id = secrets.token_hex(16)
    run(channel, call, [("traceparent", f"00-{trace_id}-{secrets.token_hex(8)}-01")])
    wait_for(lambda: not missing(fetch(ui, trace_id), EDGES[call]), "all edges are there", 20)
    assert_not_recorded(mesh, ui, trace_id)


def assert_not_recorded(mesh, ui, trace_id):
    """Nothing that was sent is in the trace or in any log, and logs there are."""
    assert CANARY not in query(ui, trace_id)
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
